#include "client/retry.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace postrider::client {
namespace {

using namespace std::chrono_literals;

const RetryOptions kOptions = {
    .first = 100ms, .longest = 1000ms, .budget = 30s, .turn_budget = 100s};

TEST(BackoffTest, FullJitterStaysInItsBoundsAndUsesThem) {
  struct Case {
    int failures;
    std::chrono::milliseconds bound;
  };
  const Case cases[] = {{1, 100ms}, {2, 200ms}, {4, 800ms}, {5, 1000ms}, {50, 1000ms}};
  SeededRandom random(7);
  for (const Case& c : cases) {
    std::chrono::nanoseconds least = 1h;
    std::chrono::nanoseconds most = 0ns;
    for (int i = 0; i < 1000; ++i) {
      const std::chrono::nanoseconds pause = BackoffOf(c.failures, kOptions, random);
      least = std::min(least, pause);
      most = std::max(most, pause);
    }
    EXPECT_GE(least, 0ns) << c.failures;
    EXPECT_LT(most, c.bound) << c.failures;
    EXPECT_LT(least, c.bound / 10) << c.failures;
    EXPECT_GT(most, c.bound * 9 / 10) << c.failures;
  }
}

TEST(PushbackTest, Table) {
  struct Case {
    const char* value;
    bool never;
    std::chrono::milliseconds after;
  };
  const Case cases[] = {{"0", false, 0ms},         {"1500", false, 1500ms}, {"-1", true, 0ms},
                        {"soon", true, 0ms},       {"", true, 0ms},         {"15s", true, 0ms},
                        {"99999999999", true, 0ms}};
  for (const Case& c : cases) {
    const std::optional<Pushback> pushback =
        PushbackOf({{"grpc-retry-pushback-ms", c.value}, {"other", "1"}});
    ASSERT_TRUE(pushback.has_value()) << c.value;
    EXPECT_EQ(pushback->never, c.never) << c.value;
    EXPECT_EQ(pushback->after, c.after) << c.value;
  }
  EXPECT_FALSE(PushbackOf({{"other", "1"}}).has_value());
}

Error ErrorOf(absl::StatusCode code, const std::string& reason) {
  Error error;
  error.code = code;
  error.reason = reason;
  return error;
}

TEST(RetryBudgetTest, WaitsForRoomInAFullQueueHaveABudgetOfTheirOwn) {
  const Error full = ErrorOf(absl::StatusCode::kResourceExhausted, "QUEUE_FULL");
  const Error away = ErrorOf(absl::StatusCode::kUnavailable, "STORE_UNAVAILABLE");
  MonotonicTime now{};
  RetryBudget budget(kOptions, now);
  EXPECT_TRUE(budget.Take(full, now, 60s));
  now += 60s;
  EXPECT_TRUE(budget.Take(away, now, 30s)) << "the wait for room took nothing of this one";
  EXPECT_FALSE(budget.Take(away, now, 31s));
  EXPECT_TRUE(budget.Take(full, now, 40s));
  now += 40s;
  EXPECT_FALSE(budget.Take(full, now, 31s)) << "both are spent";
  const Error no_verdict = ErrorOf(absl::StatusCode::kUnavailable, "COMPLIANCE_CHECK_UNAVAILABLE");
  EXPECT_TRUE(RetryBudget(kOptions, now).Take(no_verdict, now, 100s)) << "a turn, as in a queue";
}

TEST(RetryPauseTest, AFullQueueIsAskedAgainAtTheTimeItNamesHoweverOftenItWasFull) {
  SeededRandom random(3);
  Error full = ErrorOf(absl::StatusCode::kResourceExhausted, "QUEUE_FULL");
  for (int failures = 1; failures < 50; ++failures) {
    const auto pause = RetryPauseOf(full, Pushback{.after = 7s}, failures, kOptions, random);
    ASSERT_TRUE(pause.has_value());
    EXPECT_GE(*pause, 7s);
    EXPECT_LE(*pause, 7s + kOptions.first);
  }
}

TEST(RetryPauseTest, WhatIsRepeatedTable) {
  using Code = absl::StatusCode;
  struct Case {
    const char* name;
    Code code;
    std::optional<std::chrono::milliseconds> retry_info;
    std::optional<Pushback> pushback;
    std::optional<std::chrono::milliseconds> at_least;
  };
  const Pushback never = {.never = true};
  const Case cases[] = {
      {"gateway away", Code::kUnavailable, {}, {}, 0ms},
      {"draining, with a time", Code::kUnavailable, 3000ms, {}, 3000ms},
      {"the longer of two times", Code::kUnavailable, 3000ms, Pushback{.after = 5000ms}, 5000ms},
      {"breaker open", Code::kUnavailable, 3000ms, never, {}},
      {"in the last moment of a gateway", Code::kCancelled, {}, {}, 0ms},
      {"no answer in time", Code::kDeadlineExceeded, {}, {}, 0ms},
      {"queue full", Code::kResourceExhausted, 1000ms, Pushback{.after = 1000ms}, 1000ms},
      {"quota used up", Code::kResourceExhausted, 1000ms, never, {}},
      {"a full proxy", Code::kResourceExhausted, {}, {}, {}},
      {"bad field", Code::kInvalidArgument, {}, Pushback{.after = 1ms}, {}},
      {"a bug", Code::kInternal, {}, {}, {}},
      {"bad token", Code::kUnauthenticated, {}, {}, {}},
  };
  SeededRandom random(1);
  for (const Case& c : cases) {
    Error error;
    error.code = c.code;
    error.retry_after = c.retry_info;
    const auto pause = RetryPauseOf(error, c.pushback, 1, kOptions, random);
    ASSERT_EQ(pause.has_value(), c.at_least.has_value()) << c.name;
    if (!pause.has_value()) continue;
    EXPECT_GE(*pause, *c.at_least) << c.name;
    EXPECT_LT(*pause, *c.at_least + kOptions.first) << c.name;
  }
}

}  // namespace
}  // namespace postrider::client
