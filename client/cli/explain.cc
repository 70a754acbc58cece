#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct ExplainFlags {
  std::string message_id;
  std::string request_id;
};

std::string GateName(v1::GateKind kind) {
  const std::string name = v1::GateKind_Name(kind);
  constexpr std::string_view kPrefix = "GATE_KIND_";
  if (name.empty()) return StrCat(static_cast<int>(kind));
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

void Print(const Context& context, const v1::ExplainMessageResponse& answer) {
  Table facts({"message", answer.message_id()});
  facts.Add({"state", StateName(answer.state())});
  if (answer.state() == v1::MESSAGE_STATE_QUEUED) {
    facts.Add({"ahead", StrCat(answer.ahead(), answer.has_more_ahead() ? " or more" : "")});
    facts.Add({"leaves", answer.has_estimated_at()
                             ? StrCat("about ", TimeText(answer.estimated_at()))
                             : "nobody knows when: see what holds it"});
  }
  facts.Print(context.out, UseColour(context));
  Table gates({"HELD BY", "UNTIL", "DETAIL"});
  for (const v1::Gate& gate : answer.gates()) {
    gates.Add({GateName(gate.kind()), TimeText(gate.until()), gate.detail()});
  }
  context.out << "\n";
  gates.Print(context.out, UseColour(context));
}

int Explain(const Settings& settings, const Context& context, const ExplainFlags& flags) {
  if (flags.message_id.empty() == flags.request_id.empty()) {
    return FailUsage(context, "explain: give a message's ID or --request-id, one of them");
  }
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  const auto answer = flags.request_id.empty() ? (*client)->Explain(flags.message_id)
                                               : (*client)->ExplainByRequestId(flags.request_id);
  if (!answer.ok()) return Fail(settings, context, answer.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*answer, settings.output);
  } else {
    Print(context, *answer);
  }
  return kExitOk;
}

}  // namespace

void AddExplain(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* command = app.add_subcommand(
      "explain", "Tells why a message has not left yet, and when it is expected to");
  auto flags = std::make_shared<ExplainFlags>();
  command->add_option("ID", flags->message_id, "The message's id, from send");
  command->add_option("--request-id", flags->request_id, "Or the request_id it was sent with");
  command->callback([&invocation, &context, flags] {
    invocation.run = [&invocation, &context, flags] {
      return Explain(invocation.settings, context, *flags);
    };
  });
}

}  // namespace postrider::cli
