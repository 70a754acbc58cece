#include "server/base/repeated_failure.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider {
namespace {

using ::testing::ElementsAre;

TEST(RepeatedFailureTest, TheFirstAndEachPowerOfTwoIsWorthALine) {
  RepeatedFailure failures;
  std::vector<std::uint64_t> told;
  for (int i = 0; i < 100; ++i) {
    if (failures.Failed()) told.push_back(failures.count());
  }
  EXPECT_THAT(told, ElementsAre(1, 2, 4, 8, 16, 32, 64));
}

TEST(RepeatedFailureTest, ASuccessSaysOnceHowManyItEnds) {
  RepeatedFailure failures;
  EXPECT_EQ(failures.Worked(), 0U);
  for (int i = 0; i < 3; ++i) static_cast<void>(failures.Failed());
  EXPECT_EQ(failures.Worked(), 3U);
  EXPECT_EQ(failures.Worked(), 0U);
}

TEST(RepeatedFailureTest, AfterASuccessTheNextFailureIsAFirstOne) {
  RepeatedFailure failures;
  for (int i = 0; i < 3; ++i) static_cast<void>(failures.Failed());
  static_cast<void>(failures.Worked());
  EXPECT_TRUE(failures.Failed());
}

}  // namespace
}  // namespace postrider
