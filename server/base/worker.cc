#include "server/base/worker.h"

#include <pthread.h>
#include <utility>

#include "server/base/check.h"
#include "server/base/mutex.h"

namespace postrider {

Worker::Worker(std::string name, Step step)
    : thread_([name = std::move(name), step = std::move(step)](std::stop_token stop) {
        PR_CHECK(name.size() <= 15);
        pthread_setname_np(pthread_self(), name.c_str());
        while (!stop.stop_requested()) step(stop);
      }) {}

void Worker::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool WaitOrStop(std::stop_token stop, std::chrono::nanoseconds duration) {
  Mutex mu;
  CondVar never;
  MutexLock lock(mu);
  never.WaitFor(mu, stop, duration, [] { return false; });
  return stop.stop_requested();
}

}  // namespace postrider
