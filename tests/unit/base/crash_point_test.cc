#include "server/base/crash_point.h"

#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>

namespace postrider {
namespace {

/// Passes points in a process of its own, with POSTRIDER_CRASH_AT set to `order`.
[[noreturn]] void PassPoints(const char* order) {
  setenv("POSTRIDER_CRASH_AT", order, 1);
  for (int i = 0; i < 3; ++i) {
    CrashPoint("after_intent");
    CrashPoint("after_post");
  }
  std::_Exit(7);
}

TEST(CrashPointDeathTest, DiesAtTheNamedPassageAndNowhereElse) {
  struct Case {
    const char* order;
    bool dies;
  };
  const Case cases[] = {{"after_intent", true},   {"after_post:3", true}, {"after_post:4", false},
                        {"after_accept", false},  {"after", false},       {"", false},
                        {"after_intent:0", false}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.order);
    if (c.dies) {
      EXPECT_EXIT(PassPoints(c.order), ::testing::KilledBySignal(SIGKILL), "");
    } else {
      EXPECT_EXIT(PassPoints(c.order), ::testing::ExitedWithCode(7), "");
    }
  }
}

TEST(CrashPointTest, WithoutAnOrderNothingHappens) {
  for (int i = 0; i < 1000; ++i) CrashPoint("after_accept");
  SUCCEED() << "still here";
}

}  // namespace
}  // namespace postrider
