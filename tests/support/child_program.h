#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace postrider {

/// A program that a test runs beside itself. What it prints goes to two files, so that it never
/// waits for a reader; it is killed with the object, and asked to end when the test itself dies.
/// Aborts when it cannot be started. Not thread safe.
class ChildProgram {
 public:
  struct Options {
    std::vector<std::string> arguments;         ///< With the program itself, found by PATH.
    std::vector<std::string> environment = {};  ///< "NAME=value", besides the test's own.
    std::string output_file;                    ///< Appended to.
    std::string error_file;                     ///< Appended to.
  };
  /// How it ended.
  struct Exit {
    int status = -1;  ///< -1: by a signal.
    int signal = 0;
  };

  explicit ChildProgram(const Options& options);
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  pid_t pid() const { return pid_; }
  /// Does nothing when it has ended.
  void Signal(int signal);
  /// Waits for its end; nothing when it lives on after `timeout`.
  std::optional<Exit> AwaitExit(std::chrono::milliseconds timeout);

 private:
  pid_t pid_ = 0;
  std::optional<Exit> exit_;
};

/// What a program did that ran to its end.
struct CommandResult {
  ChildProgram::Exit exit;
  std::string out;
  std::string err;
};

/// Runs a program for a minute at most, then kills it.
CommandResult RunCommand(std::vector<std::string> arguments,
                         std::vector<std::string> environment = {});

/// The whole file; empty when there is none.
std::string ReadWholeFile(const std::string& path);

}  // namespace postrider
