#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct DlqFlags {
  std::string tenant = "default";
  std::string dead_reason;
  std::string source;
  double since_s = 0;
  bool all_tenants = false;
  int limit = 100;
  std::vector<std::string> ids;
  bool all = false;
  bool dry_run = false;
  int rate_per_s = 50;
  bool unmask = false;
  std::string reason;
};

v1::DeadLetterFilter LettersOf(const Context& context, const DlqFlags& flags) {
  v1::DeadLetterFilter filter;
  if (!flags.all_tenants) filter.set_tenant(flags.tenant);
  filter.set_reason(flags.dead_reason);
  filter.set_source(flags.source);
  if (flags.since_s > 0) *filter.mutable_since() = TimeFromNow(context, -flags.since_s);
  return filter;
}

int ListLetters(const Settings& settings, const Context& context, const DlqFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::ListDeadLettersRequest request;
  *request.mutable_filter() = LettersOf(context, flags);
  Table table({"DEAD LETTER", "GIVEN UP", "REASON", "SOURCE", "REPLAYS", "DETAIL"});
  int left = flags.limit;
  while (left > 0) {
    request.set_page_size(std::min(left, 500));
    const auto page = (*admin)->ListDeadLetters(request);
    if (!page.ok()) return Fail(settings, context, page.status());
    for (const v1::DeadLetter& letter : page->dead_letters()) {
      if (settings.output != Output::kTable) {
        context.out << JsonOf(letter, settings.output);
      } else {
        table.Add({letter.dead_letter_id(), TimeText(letter.given_up_at()), letter.reason(),
                   letter.source(), StrCat(letter.replays()), letter.detail()});
      }
    }
    left -= page->dead_letters_size();
    request.set_page_token(page->next_page_token());
    if (page->next_page_token().empty()) break;
  }
  if (settings.output != Output::kTable) return kExitOk;
  if (table.empty()) {
    context.out << "no dead letters\n";
    return kExitOk;
  }
  table.Print(context.out, UseColour(context));
  if (!request.page_token().empty()) context.out << "... and older ones: see --limit\n";
  return kExitOk;
}

int GroupLetters(const Settings& settings, const Context& context, const DlqFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::GroupDeadLettersRequest request;
  *request.mutable_filter() = LettersOf(context, flags);
  const auto groups = (*admin)->GroupDeadLetters(request);
  if (!groups.ok()) return Fail(settings, context, groups.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*groups, settings.output);
    return kExitOk;
  }
  Table table({"TENANT", "REASON", "SOURCE", "COUNT", "ONLY BY ID", "OLDEST", "NEWEST"});
  for (const v1::DeadLetterGroup& group : groups->groups()) {
    table.Add({group.tenant(), group.reason(), group.source(), StrCat(group.count()),
               StrCat(group.only_by_id_count()), TimeText(group.oldest_at()),
               TimeText(group.newest_at())});
  }
  if (table.empty()) {
    context.out << "no dead letters\n";
  } else {
    table.Print(context.out, UseColour(context));
  }
  return kExitOk;
}

/// The rows of a send; empty when its message is kept no more.
void AddSend(const v1::GetDeadLetterResponse& found, Table& table) {
  if (!found.has_send()) {
    table.Add({"message", "is kept no more"});
    return;
  }
  const v1::DeadSend& send = found.send();
  table.Add({"request", send.request_id()});
  table.Add({"state", StateName(send.state())});
  table.Add({"attempts", StrCat(send.attempts())});
  table.Add({"sender", send.sender()});
  table.Add({"recipient", send.recipient()});
  if (!send.campaign_id().empty()) table.Add({"campaign", send.campaign_id()});
  const bool only_by_id = found.dead_letter().only_by_id();
  table.Add({"replay", only_by_id ? "by its id only: it may have arrived" : "yes"});
}

int ShowLetter(const Settings& settings, const Context& context, const DlqFlags& flags) {
  if (flags.unmask && flags.reason.empty()) {
    return FailUsage(context, "dlq show: --unmask needs --reason; it goes on record");
  }
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::GetDeadLetterRequest request;
  request.set_tenant(flags.tenant);
  request.set_dead_letter_id(flags.ids.front());
  request.set_unmask(flags.unmask);
  request.set_reason(flags.reason);
  const auto found = (*admin)->GetDeadLetter(request);
  if (!found.ok()) return Fail(settings, context, found.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*found, settings.output);
    return kExitOk;
  }
  const v1::DeadLetter& letter = found->dead_letter();
  Table table({"dead letter", letter.dead_letter_id()});
  table.Add({"reason", letter.reason()});
  table.Add({"detail", letter.detail()});
  table.Add({"source", letter.source()});
  table.Add({"received", TimeText(letter.received_at())});
  table.Add({"given up", TimeText(letter.given_up_at())});
  table.Add({"replays", StrCat(letter.replays())});
  const bool is_send = letter.source() == "send";
  if (is_send) {
    AddSend(*found, table);
  } else {
    table.Add(
        {"body", StrCat(letter.body_bytes(), " bytes", flags.unmask ? ":" : ", numbers masked:")});
  }
  table.Print(context.out, false);
  if (!is_send) context.out << client::Printable(found->body()) << "\n";
  return kExitOk;
}

/// Which of them `flags` mean, into `request`; false, told, when that is not clear.
template <typename Request>
bool Choose(const Context& context, const DlqFlags& flags, Request& request) {
  const bool narrowed = !flags.dead_reason.empty() || !flags.source.empty() || flags.since_s > 0;
  if (flags.ids.empty() == !flags.all || (narrowed && !flags.all)) {
    FailUsage(context, "dlq: name dead letters by their ids, or all that match with --all");
    return false;
  }
  request.set_reason(flags.reason);
  *request.mutable_filter() = LettersOf(context, flags);
  // What dies meanwhile, perhaps of this very replay, is not meant.
  if (flags.all) *request.mutable_filter()->mutable_until() = TimeFromNow(context, 0);
  for (const std::string& id : flags.ids) request.add_dead_letter_ids(id);
  return true;
}

/// Calls `change` until there is no more, with progress and at `rate_per_s` (0: at once). `what`:
/// "replayed".
template <typename Request, typename Change>
int ChangeAll(const Settings& settings, const Context& context, const DlqFlags& flags,
              const char* what, int rate_per_s, Request request, Change change) {
  request.set_dry_run(true);
  const absl::StatusOr<std::pair<std::int64_t, bool>> matching = change(request);
  if (!matching.ok()) return Fail(settings, context, matching.status());
  std::int64_t done = 0;
  bool stopped = false;
  if (!flags.dry_run) {
    request.set_dry_run(false);
    while (!stopped) {
      const absl::StatusOr<std::pair<std::int64_t, bool>> some = change(request);
      if (!some.ok()) return Fail(settings, context, some.status());
      done += some->first;
      if (!some->second) break;
      context.err << what << " " << done << " of " << matching->first << "\n" << std::flush;
      if (rate_per_s == 0) continue;
      const auto pause = std::chrono::milliseconds(some->first * 1000 / rate_per_s);
      stopped = context.seams.wait(context.stop, pause);
    }
  }
  if (settings.output != Output::kTable) {
    context.out << StrCat("{\"matching_count\":", matching->first, ",\"", what, "_count\":", done,
                          "}\n");
  } else if (flags.dry_run) {
    context.out << matching->first << " would be " << what << "\n";
  } else {
    context.out << what << " " << done << "\n";
  }
  return stopped ? kExitSomeFailed : kExitOk;
}

int ReplayLetters(const Settings& settings, const Context& context, const DlqFlags& flags) {
  v1::ReplayDeadLettersRequest request;
  if (!Choose(context, flags, request)) return kExitUsage;
  request.set_rate_per_s(flags.rate_per_s);
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  return ChangeAll(settings, context, flags, "replayed", flags.rate_per_s, request,
                   [&](const auto& some) -> absl::StatusOr<std::pair<std::int64_t, bool>> {
                     const auto change = (*admin)->ReplayDeadLetters(some);
                     if (!change.ok()) return change.status();
                     return std::pair(change->replayed_count(), change->has_more());
                   });
}

int DiscardLetters(const Settings& settings, const Context& context, const DlqFlags& flags) {
  v1::DiscardDeadLettersRequest request;
  if (!Choose(context, flags, request)) return kExitUsage;
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  return ChangeAll(settings, context, flags, "discarded", 0, request,
                   [&](const auto& some) -> absl::StatusOr<std::pair<std::int64_t, bool>> {
                     const auto change = (*admin)->DiscardDeadLetters(some);
                     if (!change.ok()) return change.status();
                     return std::pair(change->discarded_count(), change->has_more());
                   });
}

void AddTenant(CLI::App& command, DlqFlags& flags) {
  command.add_option("--tenant", flags.tenant, "The tenant's name")->capture_default_str();
}

void AddFilter(CLI::App& command, DlqFlags& flags) {
  AddTenant(command, flags);
  command.add_option("--dead-reason", flags.dead_reason,
                     "Only these: UNREADABLE, ORPHAN, POISON or UNKNOWN_SENDER, of webhooks;\n"
                     "REJECTED, FAILED or UNDETERMINED, of sends");
  command
      .add_option("--source", flags.source,
                  "Only these: send, or webhooks of the path of guide or platform")
      ->check(CLI::IsMember({"send", "guide", "platform"}));
  command.add_option("--since", flags.since_s, "Only those given up in the last so many seconds")
      ->check(CLI::Range(1.0, 3'155'760'000.0));
}

void AddChange(CLI::App& command, DlqFlags& flags) {
  AddFilter(command, flags);
  command.add_option("ID", flags.ids, "The ids of dead letters")
      ->expected(0, 500)
      ->option_text("...");
  command.add_flag("--all", flags.all, "All that match instead");
  command.add_option("--reason", flags.reason, "Why; goes on record")->required();
  command.add_flag("--dry-run", flags.dry_run, "Only counts");
}

}  // namespace

void AddDlq(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* dlq = app.add_subcommand(
      "dlq",
      "Webhooks that were taken and could not be applied, and sends that failed: shows, replays\n"
      "and discards them; for operators");
  dlq->require_subcommand(1);
  dlq->fallthrough();

  CLI::App* list = dlq->add_subcommand("list", "Newest first");
  auto listed = std::make_shared<DlqFlags>();
  AddFilter(*list, *listed);
  list->add_option("--limit", listed->limit, "How many at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  list->callback(AsOperator(invocation, context, listed, ListLetters));

  CLI::App* groups = dlq->add_subcommand("groups", "Counted by tenant, reason and source");
  auto grouped = std::make_shared<DlqFlags>();
  AddFilter(*groups, *grouped);
  groups->add_flag("--all-tenants", grouped->all_tenants, "Of every tenant, not of one");
  groups->callback(AsOperator(invocation, context, grouped, GroupLetters));

  CLI::App* show = dlq->add_subcommand("show", "One with its body or its message, numbers masked");
  auto shown = std::make_shared<DlqFlags>();
  AddTenant(*show, *shown);
  show->add_option("ID", shown->ids, "Its id")->required()->expected(1);
  show->add_flag("--unmask", shown->unmask,
                 "Numbers in clear; needs a token with the scope unmask");
  show->add_option("--reason", shown->reason, "With --unmask: why; goes on record");
  show->callback(AsOperator(invocation, context, shown, ShowLetter));

  CLI::App* replay = dlq->add_subcommand(
      "replay",
      "Applies webhooks again as if they had just come, and sends messages again as new attempts;\n"
      "what fails again is dead again. With --all those are left out that were replayed three\n"
      "times, and sends that may have arrived: name them.");
  auto replayed = std::make_shared<DlqFlags>();
  AddChange(*replay, *replayed);
  replay->add_option("--rate", replayed->rate_per_s, "How many a second")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  replay->callback(AsOperator(invocation, context, replayed, ReplayLetters));

  CLI::App* discard = dlq->add_subcommand("discard", "Takes them off the list for good");
  auto discarded = std::make_shared<DlqFlags>();
  AddChange(*discard, *discarded);
  discard->callback(AsOperator(invocation, context, discarded, DiscardLetters));
}

}  // namespace postrider::cli
