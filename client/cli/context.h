#pragma once

#include <functional>
#include <iosfwd>
#include <stop_token>
#include <string>
#include <vector>

#include "client/retry.h"

namespace postrider::cli {

/// The world a command runs in; tests pass strings and a map. Everything outlives the command.
struct Context {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  /// The environment variable; empty when it is not set.
  std::function<std::string(const std::string&)> env;
  bool is_root = false;
  std::stop_token stop{};  ///< Ctrl-C or SIGTERM.
  client::Seams seams;
};

/// Runs `postrider` with `args` (without the program's name). The exit code, see exit_code.h.
int RunCli(const Context& context, std::vector<std::string> args);

}  // namespace postrider::cli
