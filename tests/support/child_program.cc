#include "tests/support/child_program.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sstream>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/test_database.h"

namespace postrider {

namespace {

constexpr auto kLongestCommand = std::chrono::seconds(60);

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Ours without what would configure a gateway or a client, then `more`.
std::vector<std::string> EnvironmentWith(const std::vector<std::string>& more) {
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "POSTRIDER_", std::strlen("POSTRIDER_")) == 0) continue;
    all.emplace_back(*variable);
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

ChildProgram::ChildProgram(const Options& options) {
  // setpriv has it end with us when ctest kills us for our time.
  std::vector<std::string> arguments = {"setpriv", "--pdeathsig", "TERM", "--"};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment = EnvironmentWith(options.environment);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, options.output_file.c_str(), kAppend,
                                   0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, options.error_file.c_str(), kAppend,
                                   0600);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  const int error = posix_spawnp(&pid_, arguments[0].c_str(), &files, nullptr,
                                 Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  if (error == 0) return;
  std::fprintf(stderr, "cannot run %s: %s\n", options.arguments[0].c_str(), std::strerror(error));
  std::abort();
}

ChildProgram::~ChildProgram() {
  if (exit_) return;
  Signal(SIGKILL);
  AwaitExit(kLongestCommand);
}

void ChildProgram::Signal(int signal) {
  // It is our child and not reaped yet, so the pid is still its own.
  if (!exit_) kill(pid_, signal);
}

std::optional<ChildProgram::Exit> ChildProgram::AwaitExit(std::chrono::milliseconds timeout) {
  if (exit_) return exit_;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0U));
  pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&ended, 1, static_cast<int>(timeout.count()));
  } while (ready < 0 && errno == EINTR);
  close(fd);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  exit_ = WIFSIGNALED(status) ? Exit{.status = -1, .signal = WTERMSIG(status)}
                              : Exit{.status = WEXITSTATUS(status), .signal = 0};
  return exit_;
}

CommandResult RunCommand(std::vector<std::string> arguments, std::vector<std::string> environment) {
  const TestDir dir;
  const std::string out = dir.path() + "/out";
  const std::string err = dir.path() + "/err";
  CommandResult result;
  ChildProgram program({.arguments = std::move(arguments),
                        .environment = std::move(environment),
                        .output_file = out,
                        .error_file = err});
  if (auto exit = program.AwaitExit(kLongestCommand)) {
    result.exit = *exit;
  } else {
    program.Signal(SIGKILL);
    result.exit = program.AwaitExit(kLongestCommand).value_or(ChildProgram::Exit{});
  }
  result.out = ReadWholeFile(out);
  result.err = ReadWholeFile(err);
  return result;
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace postrider
