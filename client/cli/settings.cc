#include "client/cli/settings.h"

#include <chrono>
#include <ostream>
#include <utility>

#include "client/cli/exit_code.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

/// How many times as long as for anything else a call waits for its turn (RetryOptions).
constexpr int kTurnPatience = 4;

std::string StateDirOf(const Context& context) {
  if (std::string dir = context.env("POSTRIDER_STATE_DIR"); !dir.empty()) return dir;
  if (context.is_root) return "/var/lib/postrider";
  if (const std::string dir = context.env("XDG_STATE_HOME"); !dir.empty()) {
    return dir + "/postrider";
  }
  return context.env("HOME") + "/.local/state/postrider";
}

std::chrono::milliseconds MillisecondsOf(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

/// The variable that holds the token.
std::string VariableOf(const Settings& settings) {
  return settings.is_operator ? "POSTRIDER_OPERATOR_TOKEN" : "POSTRIDER_TOKEN";
}

/// What to do about `error`; empty when its text says enough.
std::string AdviceOf(const client::Error& error, const Settings& settings,
                     const std::string& address) {
  if (error.reason == "REQUEST_ID_REUSED") {
    return "give a new --request-id, or leave it out";
  }
  if (error.reason == "RESUME_TOKEN_EXPIRED") return "start again with --snapshot";
  if (error.reason == "SCOPE_MISSING" || error.reason == "SENDER_NOT_ALLOWED") {
    return "ask the operator for a token that may, and give it with --token-file";
  }
  switch (error.code) {
    case absl::StatusCode::kUnauthenticated:
      return error.reason.empty()
                 ? ""
                 : StrCat("give a valid token with --token-file, ", VariableOf(settings), " or ",
                          VariableOf(settings), "_FILE");
    case absl::StatusCode::kUnavailable:
      return error.reason.empty()
                 ? StrCat("is the gateway running at ", address,
                          "? Start one with `postriderd serve`, or give --address HOST:PORT")
                 : "run the same command again later; nothing is sent twice";
    case absl::StatusCode::kDeadlineExceeded:
      return StrCat("no answer from ", address,
                    " in time; run the same command again, or give a longer --timeout");
    case absl::StatusCode::kUnimplemented:
      return StrCat("is ", address, " a Postrider gateway, and as new as this program?");
    default:
      return "";
  }
}

}  // namespace

TokenSource TokenOf(const Settings& settings, const Context& context) {
  if (!settings.token_file.empty()) return {.token = "", .file = settings.token_file};
  const std::string prefix = VariableOf(settings);
  if (std::string token = context.env(prefix); !token.empty()) {
    return {.token = std::move(token), .file = ""};
  }
  if (std::string file = context.env(prefix + "_FILE"); !file.empty()) {
    return {.token = "", .file = std::move(file)};
  }
  return {
      .token = "",
      .file = StateDirOf(context) + (settings.is_operator ? "/operator.token" : "/default.token"),
      .is_default = true};
}

std::string AddressOf(const Settings& settings, const Context& context) {
  if (!settings.address.empty()) return settings.address;
  if (settings.is_operator) {
    const std::string address = context.env("POSTRIDER_ADMIN_ADDRESS");
    return address.empty() ? "127.0.0.1:7074" : address;
  }
  const std::string address = context.env("POSTRIDER_ADDRESS");
  return address.empty() ? "127.0.0.1:7070" : address;
}

Settings OperatorsOf(Settings settings) {
  settings.is_operator = true;
  return settings;
}

namespace {

absl::StatusOr<client::Options> OptionsOf(const Settings& settings, const Context& context) {
  const TokenSource source = TokenOf(settings, context);
  client::Options options;
  options.address = AddressOf(settings, context);
  options.token = Secret(source.token);
  options.ca_file = settings.ca_file;
  options.tls = settings.tls;
  options.call_deadline = MillisecondsOf(settings.timeout_s);
  options.retry.budget = MillisecondsOf(settings.retry_for_s);
  options.retry.turn_budget = kTurnPatience * options.retry.budget;
  if (options.token.empty()) {
    absl::StatusOr<Secret> token = client::ReadTokenFile(source.file);
    if (!token.ok() && source.is_default && absl::IsNotFound(token.status())) {
      return absl::UnauthenticatedError(StrCat(
          "no API token: ", source.file,
          " does not exist. `postriderd serve` on this machine writes it; for another gateway ask "
          "its operator for a token and give --token-file, ",
          VariableOf(settings), " or ", VariableOf(settings), "_FILE"));
    }
    if (!token.ok()) {
      return absl::UnauthenticatedError(StrCat(
          "no API token: ", ToStd(token.status().message()),
          ". Give the right file with --token-file, or the token in ", VariableOf(settings)));
    }
    options.token = *std::move(token);
  }
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<client::Client>> OpenClient(const Settings& settings,
                                                           const Context& context) {
  PR_ASSIGN_OR_RETURN(client::Options options, OptionsOf(settings, context));
  return client::Client::Open(std::move(options), context.seams);
}

absl::StatusOr<std::unique_ptr<client::Admin>> OpenAdmin(const Settings& settings,
                                                         const Context& context) {
  PR_ASSIGN_OR_RETURN(client::Options options, OptionsOf(settings, context));
  return client::Admin::Open(std::move(options), context.seams);
}

int Fail(const Settings& settings, const Context& context, const absl::Status& status) {
  const client::Error error = client::DecodeError(status);
  std::string line = client::DescribeError(error);
  const std::string advice = AdviceOf(error, settings, AddressOf(settings, context));
  if (!advice.empty()) StrAppend(line, " - ", advice);
  context.err << "postrider: " << line << "\n";
  return ExitCodeOf(status.code());
}

int FailUsage(const Context& context, const std::string& message) {
  context.err << "postrider: " << client::Printable(message) << "\n";
  return kExitUsage;
}

void PrintProblems(const Context& context, const std::string& what,
                   const std::vector<std::string>& problems) {
  FailUsage(context, what);
  for (const std::string& problem : problems) {
    context.err << "  " << client::Printable(problem) << "\n";
  }
}

}  // namespace postrider::cli
