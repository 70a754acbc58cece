#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <poll.h>
#include <stop_token>
#include <string>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <vector>

#include "client/cli/context.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/worker.h"

namespace postrider::cli {
namespace {

/// Turns the first SIGINT or SIGTERM into a stop; another one, half a second later or more, ends
/// the process at once. Made before any other thread, so that all inherit the blocked mask.
class SignalWatch {
 public:
  SignalWatch()
      : signals_(Block()),
        wake_(eventfd(0, EFD_CLOEXEC)),
        worker_("signals", [this](std::stop_token) { Step(); }) {
    PR_CHECK(signals_ >= 0 && wake_ >= 0);
  }
  ~SignalWatch() {
    worker_.RequestStop();
    eventfd_write(wake_, 1);
    worker_.Stop();
    close(signals_);
    close(wake_);
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  static int Block() {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    // A reader that went away is noticed on its stream; a socket's end by gRPC.
    std::signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &ends, SFD_CLOEXEC);
  }

  void Step() {
    pollfd waits[] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(waits, 2, 1000) <= 0 || waits[0].revents == 0) return;
    signalfd_siginfo info = {};
    if (read(signals_, &info, sizeof(info)) != sizeof(info)) return;
    const MonotonicTime now = clock_.Now();
    // A terminal and the shell, or timeout(1), may each send the same signal.
    if (source_.stop_requested() && now - stopped_at_ >= std::chrono::milliseconds(500)) {
      _exit(128 + static_cast<int>(info.ssi_signo));
    }
    if (!source_.stop_requested()) stopped_at_ = now;
    source_.request_stop();
  }

  const int signals_;
  const int wake_;
  const SystemClock clock_;
  std::stop_source source_;
  MonotonicTime stopped_at_;
  Worker worker_;
};

int Main(int argc, char** argv) {
  const SignalWatch signals;
  const Context context{
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .out_is_terminal = isatty(STDOUT_FILENO) == 1,
      .err_is_terminal = isatty(STDERR_FILENO) == 1,
      .env =
          [](const std::string& name) {
            const char* value = std::getenv(name.c_str());
            return std::string(value == nullptr ? "" : value);
          },
      .is_root = geteuid() == 0,
      .stop = signals.token(),
      .seams = client::SystemSeams(),
  };
  return RunCli(context, std::vector<std::string>(argv + 1, argv + argc));
}

}  // namespace
}  // namespace postrider::cli

int main(int argc, char** argv) { return postrider::cli::Main(argc, argv); }
