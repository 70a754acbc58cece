#include "tests/bench/process.h"

#include <array>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/base/worker.h"

extern char** environ;

namespace postrider::bench {

namespace {

std::vector<std::string> ServeOn(const std::string& postriderd,
                                 const std::vector<std::string>& flags,
                                 const std::string& state_dir) {
  ::unlink(StrCat(state_dir, "/addresses").c_str());
  std::vector<std::string> arguments = {postriderd, "serve"};
  for (const char* option :
       {"--listen", "--admin-listen", "--webhook-listen", "--ops-listen", "--sandbox-listen"}) {
    arguments.insert(arguments.end(), {option, "127.0.0.1:0"});
  }
  arguments.insert(arguments.end(), {"--log-level", "warning"});
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return arguments;
}

}  // namespace

ChildOf::ChildOf(const std::vector<std::string>& arguments) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  PR_CHECK(::pipe2(in.data(), O_CLOEXEC) == 0 && ::pipe2(out.data(), O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  // setpriv has it end with us, when a figure could not be had and we abort.
  std::vector<std::string> command = {"setpriv", "--pdeathsig", "TERM", "--"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  PR_CHECK(::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  stdin_ = in[1];
  stdout_ = out[0];
}

ChildOf::~ChildOf() {
  ::close(stdin_);
  ::kill(pid_, SIGTERM);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  ::close(stdout_);
}

bool ChildOf::Runs() const {
  siginfo_t ended{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0;
}

double ChildOf::RssMib() const {
  std::ifstream status(StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

std::string ChildOf::FirstLine() {
  std::string line;
  for (char c = 0; ::read(stdout_, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

GatewayProcess::GatewayProcess(const std::string& postriderd, const std::vector<std::string>& flags,
                               const std::string& state_dir)
    : child_(ServeOn(postriderd, flags, state_dir)) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  // The file is renamed into place when everything listens.
  std::string webhook;
  while (webhook.empty()) {
    PR_CHECK(child_.Runs() && std::chrono::steady_clock::now() < give_up);
    std::ifstream file(StrCat(state_dir, "/addresses"));
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("grpc=")) addresses_.grpc = line.substr(5);
      if (line.starts_with("ops=")) {
        addresses_.ops_port = std::atoi(line.substr(line.rfind(':') + 1).c_str());
      }
      if (line.starts_with("webhook=")) webhook = line.substr(8);
    }
    if (webhook.empty()) WaitOrStop(std::stop_token(), std::chrono::milliseconds(5));
  }
  const std::size_t colon = webhook.rfind(':');
  const std::size_t slash = webhook.find('/', colon);
  addresses_.webhook_port = std::atoi(webhook.substr(colon + 1, slash - colon - 1).c_str());
  addresses_.webhook_path = webhook.substr(slash);
  std::ifstream token(StrCat(state_dir, "/default.token"));
  std::getline(token, addresses_.token);
}

EchoProcess::EchoProcess(const std::string& self) : child_({self, "--echo-server"}) {
  port_ = std::atoi(child_.FirstLine().c_str());
  PR_CHECK(port_ > 0);
}

}  // namespace postrider::bench
