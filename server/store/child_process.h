#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <sys/types.h>
#include <vector>

#include "absl/status/statusor.h"

namespace postrider {

/// A process of this machine by pid, ours or not: signals, and its end. The pid cannot be taken
/// over by another process meanwhile. Not thread safe.
/// Source: pidfd_open(2), Linux 5.3.
class ProcessHandle {
 public:
  /// NOT_FOUND when no such process lives.
  static absl::StatusOr<ProcessHandle> Open(pid_t pid);

  ProcessHandle(ProcessHandle&& other) noexcept;
  ProcessHandle& operator=(ProcessHandle&& other) noexcept;
  ~ProcessHandle();

  pid_t pid() const { return pid_; }
  /// Does nothing when the process has ended.
  void Signal(int signal) const;
  /// Waits for its end, `timeout` at most; true when it has ended. A child is reaped.
  bool AwaitEnd(std::chrono::milliseconds timeout) const;

 private:
  ProcessHandle(pid_t pid, int fd) : pid_(pid), fd_(fd) {}

  pid_t pid_;
  int fd_;
};

/// A program to run: found by PATH, with nothing of ours but PATH and HOME in its environment
/// (and LC_ALL=C, so that we can read what it says), no open files, no blocked signals, in "/".
struct Program {
  std::vector<std::string> arguments;  ///< With the program itself.
  std::string user = {};               ///< Whose rights it gets; empty: ours. Needs root.
};

/// Starts `program` in a process group of its own, so that Ctrl-C on our terminal does not reach
/// it. What it prints is appended to `log_file`. UNAVAILABLE when it cannot be started.
absl::StatusOr<ProcessHandle> StartProgram(const Program& program, const std::string& log_file);

/// Runs `program` to its end and returns what it printed (64 KiB at most). FAILED_PRECONDITION
/// with the same when its exit status is not 0; DEADLINE_EXCEEDED, and it is killed, when it takes
/// longer than `timeout`. `stop` asks it to end (SIGTERM). Blocks.
absl::StatusOr<std::string> RunProgram(const Program& program, std::chrono::milliseconds timeout,
                                       std::stop_token stop = {});

}  // namespace postrider
