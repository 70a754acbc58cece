#include "server/app/stop_signals.h"

#include <chrono>
#include <ctime>
#include <unistd.h>

#include "server/base/log.h"

namespace postrider {

namespace {

using namespace std::chrono_literals;

constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};

sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

StopSignals::StopSignals(std::chrono::seconds at_most)
    : at_most_(at_most),
      signals_(BlockSignals()),
      worker_("signals", [this](std::stop_token stop) { Step(stop); }) {}

void StopSignals::Await() const {
  while (!WaitOrStop(asked_.get_token(), 1h)) {
  }
}

void StopSignals::Step(std::stop_token stop) {
  if (asked_.stop_requested()) {
    if (WaitOrStop(stop, at_most_)) return;
    PR_LOG(kError, "something under way does not end: cut off; what was answered is stored");
    FlushLog();
    _exit(1);
  }
  const int number = sigtimedwait(&signals_, nullptr, &kLook);
  if (number <= 0) return;
  number_ = number;
  // This worker alone blocks them no longer, so a second one is delivered to it and ends us all.
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  asked_.request_stop();
}

}  // namespace postrider
