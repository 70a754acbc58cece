#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <sstream>
#include <stop_token>
#include <string>

#include <google/protobuf/util/time_util.h>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "client/cli/state_table.h"

namespace postrider::cli {
namespace {

// Source: ECMA-48: cursor home; erase to the end of the line; erase below.
constexpr char kHome[] = "\033[H";
constexpr char kEndOfLine[] = "\033[K";
constexpr char kBelow[] = "\033[J";

struct TopFlags {
  std::string tenant;
  int interval_s = 1;
  int count = 0;
};

/// Draws over what is there, line by line: without a blank moment between.
void Redraw(const Context& context, const v1::GatewayState& state) {
  std::ostringstream text;
  PrintState(text, UseColour(context), state);
  context.out << kHome;
  for (const char c : text.str()) {
    if (c == '\n') context.out << kEndOfLine;
    context.out << c;
  }
  context.out << kBelow << std::flush;
}

int Top(const Settings& settings, const Context& context, const TopFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::WatchGatewayStateRequest request;
  request.set_tenant(flags.tenant);
  *request.mutable_interval() =
      google::protobuf::util::TimeUtil::SecondsToDuration(flags.interval_s);
  std::stop_source done;
  const std::stop_callback on_signal(context.stop, [&done] { done.request_stop(); });
  int shown = 0;
  const absl::Status end = (*admin)->Watch(
      request,
      [&](const v1::GatewayState& state) {
        if (done.stop_requested()) return;
        if (settings.output != Output::kTable) {
          context.out << JsonOf(state, settings.output) << std::flush;
        } else if (context.out_is_terminal) {
          Redraw(context, state);
        } else {
          PrintStateLine(context.out, state);
          context.out << std::flush;
        }
        if (++shown == flags.count || !context.out) done.request_stop();
      },
      done.get_token());
  return end.ok() ? kExitOk : Fail(settings, context, end);
}

}  // namespace

void AddTop(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* command = app.add_subcommand(
      "top",
      "Shows what the gateway does, as it changes, until Ctrl-C; for operators. On a terminal in\n"
      "place, elsewhere a line each time.");
  auto flags = std::make_shared<TopFlags>();
  command->add_option("--tenant", flags->tenant, "Only this tenant");
  command
      ->add_option("--every", flags->interval_s, "Seconds between looks when nothing changes (1)")
      ->check(CLI::Range(1, 300));
  command->add_option("--count", flags->count, "End after so many looks; 0: never")
      ->check(CLI::Range(0, 1'000'000));
  command->callback(AsOperator(invocation, context, flags, Top));
}

}  // namespace postrider::cli
