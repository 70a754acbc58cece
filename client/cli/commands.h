#pragma once

#include <functional>
#include <memory>

#include "client/cli/context.h"
#include "client/cli/request_file.h"
#include "client/cli/settings.h"

namespace CLI {
class App;
}  // namespace CLI

namespace postrider::cli {

/// What the flags asked for: filled in while they are read, then run.
struct Invocation {
  Settings settings;
  std::function<int()> run;  ///< The command's exit code.
};

/// What runs `run(settings, context, flags)` with an operator's settings.
template <typename Flags, typename Run>
auto AsOperator(Invocation& invocation, const Context& context, std::shared_ptr<Flags> flags,
                Run run) {
  return [&invocation, &context, flags, run] {
    invocation.run = [&invocation, &context, flags, run] {
      return run(OperatorsOf(invocation.settings), context, *flags);
    };
  };
}

/// Each adds one command, with its flags and help, to `app`. All arguments outlive the run.
void AddSend(CLI::App& app, Invocation& invocation, const Context& context);
void AddStatus(CLI::App& app, Invocation& invocation, const Context& context);
void AddExplain(CLI::App& app, Invocation& invocation, const Context& context);
void AddConversation(CLI::App& app, Invocation& invocation, const Context& context);
void AddWatch(CLI::App& app, Invocation& invocation, const Context& context);
void AddCancel(CLI::App& app, Invocation& invocation, const Context& context);
void AddAdmin(CLI::App& app, Invocation& invocation, const Context& context);
void AddDlq(CLI::App& app, Invocation& invocation, const Context& context);
void AddConsent(CLI::App& app, Invocation& invocation, const Context& context);
void AddApply(CLI::App& app, Invocation& invocation, const Context& context);
void AddTop(CLI::App& app, Invocation& invocation, const Context& context);

/// What `send --file` does.
struct SendFileJob {
  std::string path;    ///< "-" is stdin.
  std::string format;  ///< "csv" or "jsonl"; empty: by the path's ending.
  std::string run;     ///< Part of derived request_ids.
  std::size_t window = 256;
  bool watch = false;
  v1::SendMessageRequest defaults;  ///< For what a line does not set.
};

/// Sends every line, reports those that failed, prints a summary. The exit code.
int SendFile(const Settings& settings, const Context& context, const SendFileJob& job);

}  // namespace postrider::cli
