#include "server/base/worker.h"

#include <atomic>
#include <pthread.h>

#include <gtest/gtest.h>

#include "server/base/mutex.h"

namespace postrider {
namespace {

/// Waits for what another worker does.
class Gate {
 public:
  void Open() {
    MutexLock lock(mu_);
    open_ = true;
    changed_.NotifyAll();
  }
  bool AwaitOpen(std::stop_token stop = {}) {
    MutexLock lock(mu_);
    return changed_.Wait(mu_, stop, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return open_; });
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

TEST(WorkerTest, RepeatsItsStepUntilStopped) {
  std::atomic<int> steps = 0;
  Gate many;
  Worker worker("repeats", [&](std::stop_token) {
    if (++steps == 100) many.Open();
  });
  many.AwaitOpen();
  worker.Stop();
  const int then = steps;
  EXPECT_GE(then, 100);
  worker.Stop();
  EXPECT_EQ(steps, then) << "no step after Stop";
}

TEST(WorkerTest, StopEndsAWaitAndWaitsForTheStep) {
  Gate begun;
  Gate never;
  std::atomic<bool> ended = false;
  Worker worker("waits", [&](std::stop_token stop) {
    begun.Open();
    EXPECT_FALSE(never.AwaitOpen(stop)) << "what it waited for did not come";
    ended = true;
  });
  begun.AwaitOpen();
  worker.Stop();
  EXPECT_TRUE(ended);
}

TEST(WorkerTest, ItsEndIsAStop) {
  Gate begun;
  Gate never;
  {
    Worker worker("ends", [&](std::stop_token stop) {
      begun.Open();
      never.AwaitOpen(stop);
    });
    begun.AwaitOpen();
  }
  SUCCEED() << "the destructor returned";
}

TEST(WorkerTest, RequestStopDoesNotWait) {
  Gate begun;
  Gate go_on;
  Worker worker("requested", [&](std::stop_token) {
    begun.Open();
    go_on.AwaitOpen();
  });
  begun.AwaitOpen();
  worker.RequestStop();  // would hang here if it waited: only we open the gate
  go_on.Open();
  worker.Stop();
}

TEST(WorkerTest, TheKernelKnowsItsName) {
  Gate named;
  std::string name;
  Worker worker("fifteen-letters", [&](std::stop_token stop) {
    char text[16] = {};
    pthread_getname_np(pthread_self(), text, sizeof text);
    name = text;
    named.Open();
    WaitOrStop(stop, std::chrono::hours(1));
  });
  named.AwaitOpen();
  worker.Stop();
  EXPECT_EQ(name, "fifteen-letters");
}

TEST(WaitOrStopTest, TellsWhetherItWasStopped) {
  std::stop_source source;
  EXPECT_FALSE(WaitOrStop(source.get_token(), std::chrono::nanoseconds(1)));
  source.request_stop();
  EXPECT_TRUE(WaitOrStop(source.get_token(), std::chrono::hours(1)));
}

TEST(CondVarTest, AnOverdueWaitTellsWhetherItsConditionHolds) {
  Mutex mu;
  CondVar condition;
  MutexLock lock(mu);
  EXPECT_TRUE(condition.WaitFor(mu, {}, std::chrono::hours(1), [] { return true; }));
  EXPECT_FALSE(condition.WaitFor(mu, {}, std::chrono::nanoseconds(-5), [] { return false; }));
}

}  // namespace
}  // namespace postrider
