#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "client/cli/state_table.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct AdminFlags {
  std::string tenant = "default";
  std::string campaign;
  std::string sender;
  std::string reason;
  double for_s = 0;
  std::string breaker;
  std::string position;
  std::string message_id;
  std::string recipient;
  std::string text;
  std::string request_id;
};

v1::DispatchTarget TargetOf(const AdminFlags& flags) {
  v1::DispatchTarget target;
  target.set_tenant(flags.tenant);
  if (!flags.campaign.empty()) target.set_campaign_id(flags.campaign);
  if (!flags.sender.empty()) target.set_sender(flags.sender);
  return target;
}

int ShowState(const Settings& settings, const Context& context, const std::string& tenant) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  const auto state = (*admin)->State(tenant);
  if (!state.ok()) return Fail(settings, context, state.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*state, settings.output);
  } else {
    PrintState(context.out, UseColour(context), *state);
  }
  return kExitOk;
}

int Pause(const Settings& settings, const Context& context, const AdminFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::PauseDispatchRequest request;
  *request.mutable_target() = TargetOf(flags);
  request.set_reason(flags.reason);
  if (flags.for_s > 0) *request.mutable_until() = TimeFromNow(context, flags.for_s);
  const auto pause = (*admin)->Pause(request);
  if (!pause.ok()) return Fail(settings, context, pause.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*pause, settings.output);
  } else {
    context.out << "paused " << client::Printable(TargetText(pause->target())) << " since "
                << TimeText(pause->since())
                << (pause->has_until() ? StrCat(" until ", TimeText(pause->until())) : "") << "\n";
  }
  return kExitOk;
}

int Resume(const Settings& settings, const Context& context, const AdminFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::ResumeDispatchRequest request;
  *request.mutable_target() = TargetOf(flags);
  request.set_reason(flags.reason);
  const auto was_paused = (*admin)->Resume(request);
  if (!was_paused.ok()) return Fail(settings, context, was_paused.status());
  if (settings.output != Output::kTable) {
    v1::ResumeDispatchResponse response;
    response.set_was_paused(*was_paused);
    context.out << JsonOf(response, settings.output);
  } else {
    context.out << (*was_paused ? "resumed " : "was not paused: ")
                << client::Printable(TargetText(request.target())) << "\n";
  }
  return kExitOk;
}

int Override(const Settings& settings, const Context& context, const AdminFlags& flags) {
  const bool ends = flags.position == "none";
  if (ends != (flags.for_s == 0)) {
    return FailUsage(context, "admin override: --for goes with --position open or closed");
  }
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::OverrideBreakerRequest request;
  request.set_tenant(flags.tenant);
  request.set_kind(flags.breaker == "carrier" ? v1::BREAKER_KIND_CARRIER
                                              : v1::BREAKER_KIND_TRANSPORT);
  if (!ends) {
    request.set_position(flags.position == "open" ? v1::BREAKER_POSITION_OPEN
                                                  : v1::BREAKER_POSITION_CLOSED);
    *request.mutable_until() = TimeFromNow(context, flags.for_s);
  }
  request.set_reason(flags.reason);
  const auto breaker = (*admin)->Override(request);
  if (!breaker.ok()) return Fail(settings, context, breaker.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*breaker, settings.output);
  } else {
    context.out << flags.breaker << " breaker of " << client::Printable(flags.tenant)
                << (ends ? StrCat(" goes by itself again")
                         : StrCat(" held ", flags.position, " until ",
                                  TimeText(breaker->override_until())))
                << "\n";
  }
  return kExitOk;
}

int Replay(const Settings& settings, const Context& context, const AdminFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::ReplayMessageRequest request;
  request.set_tenant(flags.tenant);
  request.set_message_id(flags.message_id);
  request.set_reason(flags.reason);
  const auto replayed = (*admin)->Replay(request);
  if (!replayed.ok()) return Fail(settings, context, replayed.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*replayed, settings.output);
  } else {
    context.out << "queued " << replayed->message_id() << " for attempt " << replayed->attempt()
                << "\n";
  }
  return kExitOk;
}

int RecordInbound(const Settings& settings, const Context& context, const AdminFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::RecordInboundMessageRequest request;
  request.set_tenant(flags.tenant);
  request.set_request_id(flags.request_id.empty() ? client::NewRequestId(context.seams.random)
                                                  : flags.request_id);
  request.set_sender(flags.sender);
  request.set_recipient(flags.recipient);
  request.set_text(flags.text);
  request.set_reason(flags.reason);
  const auto recorded = (*admin)->RecordInbound(request);
  if (!recorded.ok()) return Fail(settings, context, recorded.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*recorded, settings.output);
  } else if (recorded->deduplicated()) {
    context.out << "recorded before: " << request.request_id() << "\n";
  } else {
    context.out << "recorded " << recorded->inbound_id() << "\n";
  }
  return kExitOk;
}

void AddTenantAndReason(CLI::App& command, AdminFlags& flags) {
  command.add_option("--tenant", flags.tenant, "The tenant's name")->capture_default_str();
  command.add_option("--reason", flags.reason, "Why; goes on record")->required();
}

void AddTarget(CLI::App& command, AdminFlags& flags) {
  AddTenantAndReason(command, flags);
  CLI::Option* campaign =
      command.add_option("--campaign", flags.campaign, "Only messages of this campaign");
  command.add_option("--sender", flags.sender, "Only messages of this sender")->excludes(campaign);
}

}  // namespace

void AddAdmin(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* admin = app.add_subcommand(
      "admin", "Shows what the gateway does, stops it and lets it go on; for operators");
  admin->require_subcommand(1);
  admin->fallthrough();

  CLI::App* state =
      admin->add_subcommand("state", "Queues, rates, pauses, breakers, owners and replicas");
  auto of = std::make_shared<AdminFlags>();
  of->tenant.clear();
  state->add_option("--tenant", of->tenant, "Only this tenant");
  state->callback(
      AsOperator(invocation, context, of,
                 [](const Settings& settings, const Context& world, const AdminFlags& flags) {
                   return ShowState(settings, world, flags.tenant);
                 }));

  CLI::App* pause = admin->add_subcommand(
      "pause", "Stops dispatch of a tenant, a campaign or a sender, on all replicas at once");
  auto paused = std::make_shared<AdminFlags>();
  AddTarget(*pause, *paused);
  pause->add_option("--for", paused->for_s, "Seconds until it ends by itself; else until resume")
      ->check(CLI::Range(1.0, 31'622'400.0));
  pause->callback(AsOperator(invocation, context, paused, Pause));

  CLI::App* resume = admin->add_subcommand("resume", "Ends such a pause");
  auto resumed = std::make_shared<AdminFlags>();
  AddTarget(*resume, *resumed);
  resume->callback(AsOperator(invocation, context, resumed, Resume));

  CLI::App* hold = admin->add_subcommand(
      "override", "Holds a circuit breaker open or closed for a time, whatever it measures");
  auto held = std::make_shared<AdminFlags>();
  AddTenantAndReason(*hold, *held);
  hold->add_option("--breaker", held->breaker, "transport or carrier")
      ->required()
      ->check(CLI::IsMember({"transport", "carrier"}));
  hold->add_option("--position", held->position, "open, closed, or none: it goes by itself again")
      ->required()
      ->check(CLI::IsMember({"open", "closed", "none"}));
  hold->add_option("--for", held->for_s, "Seconds until it ends by itself")
      ->check(CLI::Range(1.0, 604'800.0));
  hold->callback(AsOperator(invocation, context, held, Override));

  CLI::App* replay = admin->add_subcommand(
      "replay",
      "Sends a REJECTED, FAILED or UNDETERMINED message once more; who was to get an UNDETERMINED\n"
      "one may have it already");
  auto again = std::make_shared<AdminFlags>();
  AddTenantAndReason(*replay, *again);
  replay->add_option("ID", again->message_id, "The message's id")->required();
  replay->callback(AsOperator(invocation, context, again, Replay));

  CLI::App* inbound = admin->add_subcommand(
      "inbound", "Records a text from a recipient that came by another way, such as by phone");
  auto said = std::make_shared<AdminFlags>();
  AddTenantAndReason(*inbound, *said);
  inbound->add_option("--sender", said->sender, "The tenant's sender that it was meant for")
      ->required();
  inbound->add_option("--from", said->recipient, "Whose text it is: +15551234567")->required();
  inbound->add_option("--text", said->text, "What was said, such as STOP")->required();
  inbound->add_option("--request-id", said->request_id,
                      "A repeat with the same one records nothing more; else a new one");
  inbound->callback(AsOperator(invocation, context, said, RecordInbound));
}

}  // namespace postrider::cli
