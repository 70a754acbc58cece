#include "server/store/child_process.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxOutputBytes = 64 * 1024;

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string VariableOr(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables
  return StrCat(name, "=", value == nullptr ? otherwise : value);
}

/// posix_spawn and not fork: in a process with many threads nothing may be done between fork and
/// exec, least of all changing the user; setpriv(1) does that after the exec.
absl::StatusOr<ProcessHandle> Spawn(const Program& program, int output_fd) {
  std::vector<std::string> arguments;
  if (!program.user.empty()) {
    arguments = {"setpriv", StrCat("--reuid=", program.user), StrCat("--regid=", program.user),
                 "--init-groups", "--"};
  }
  arguments.insert(arguments.end(), program.arguments.begin(), program.arguments.end());
  std::vector<std::string> environment = {VariableOr("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                                          VariableOr("HOME", "/"), "LC_ALL=C"};

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, output_fd, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  posix_spawn_file_actions_addchdir_np(&files, "/");

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, arguments[0].c_str(), &files, &attributes,
                                 Pointers(arguments).data(), Pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    return absl::UnavailableError(StrCat("cannot run ", arguments[0], ": ", std::strerror(error)));
  }
  return ProcessHandle::Open(pid);
}

/// Reads until the last writer closes, or `timeout` passes between two reads: false.
bool ReadAll(int fd, milliseconds timeout, std::string& text) {
  while (true) {
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&readable, 1, static_cast<int>(timeout.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    char bytes[4096];
    const ssize_t size = read(fd, bytes, sizeof(bytes));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return true;
    if (text.size() < kMaxOutputBytes) text.append(bytes, static_cast<std::size_t>(size));
  }
}

}  // namespace

absl::StatusOr<ProcessHandle> ProcessHandle::Open(pid_t pid) {
  // Not by <sys/pidfd.h>: that of Debian 12 cannot be linked from C++.
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0U));
  if (fd < 0) return absl::NotFoundError(StrCat("process ", pid, ": ", std::strerror(errno)));
  return ProcessHandle(pid, fd);
}

ProcessHandle::ProcessHandle(ProcessHandle&& other) noexcept
    : pid_(other.pid_), fd_(std::exchange(other.fd_, -1)) {}

ProcessHandle& ProcessHandle::operator=(ProcessHandle&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(fd_, other.fd_);
  return *this;
}

ProcessHandle::~ProcessHandle() {
  if (fd_ >= 0) close(fd_);
}

void ProcessHandle::Signal(int signal) const {
  syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0U);
}

bool ProcessHandle::AwaitEnd(milliseconds timeout) const {
  pollfd ended{.fd = fd_, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&ended, 1, static_cast<int>(timeout.count()));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return false;
  waitpid(pid_, nullptr, WNOHANG);  // Fails, harmlessly, for a process that is not our child.
  return true;
}

absl::StatusOr<ProcessHandle> StartProgram(const Program& program, const std::string& log_file) {
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) {
    return absl::UnavailableError(StrCat("cannot open ", log_file, ": ", std::strerror(errno)));
  }
  absl::StatusOr<ProcessHandle> process = Spawn(program, log);
  close(log);
  return process;
}

absl::StatusOr<std::string> RunProgram(const Program& program, milliseconds timeout,
                                       std::stop_token stop) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::UnavailableError(StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  absl::StatusOr<ProcessHandle> process = Spawn(program, ends[1]);
  close(ends[1]);
  const std::stop_callback on_stop(stop, [&] {
    if (process.ok()) process->Signal(SIGTERM);
  });
  std::string output;
  const bool complete = process.ok() && ReadAll(ends[0], timeout, output);
  close(ends[0]);
  PR_RETURN_IF_ERROR(process.status());
  siginfo_t end{};
  if (!complete) process->Signal(SIGKILL);
  // waitid, not AwaitEnd: here the exit status matters.
  while (waitid(P_PID, static_cast<id_t>(process->pid()), &end, WEXITED) != 0 && errno == EINTR) {
  }
  if (!complete) {
    return absl::DeadlineExceededError(
        StrCat(program.arguments[0], " did not end in time: ", output));
  }
  if (end.si_code != CLD_EXITED || end.si_status != 0) return absl::FailedPreconditionError(output);
  return output;
}

}  // namespace postrider
