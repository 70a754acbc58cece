// Secrets, randomness, strings and the clock.
#include <set>

#include <gtest/gtest.h>

#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/base/secret.h"
#include "server/base/strings.h"

namespace postrider {
namespace {

TEST(SecretTest, GivesItsValueOnlyWhenAsked) {
  const Secret secret("hunter2");
  EXPECT_EQ(secret.Reveal(), "hunter2");
  EXPECT_FALSE(secret.empty());
  EXPECT_TRUE(Secret().empty());
  const Secret copy = secret;
  EXPECT_EQ(copy.Reveal(), "hunter2");
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
}

TEST(RandomTest, ASeedGivesItsSequence) {
  SeededRandom one(42);
  SeededRandom same(42);
  SeededRandom other(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t next = one.Next();
    EXPECT_EQ(next, same.Next());
    differs = differs || next != other.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(RandomTest, AFractionIsBelowOne) {
  class Extreme final : public Random {
   public:
    std::uint64_t Next() override { return bits; }
    std::uint64_t bits = 0;
  } extreme;
  EXPECT_EQ(extreme.Fraction(), 0.0);
  extreme.bits = ~std::uint64_t{0};
  EXPECT_LT(extreme.Fraction(), 1.0);
  EXPECT_GT(extreme.Fraction(), 0.999999);
}

TEST(RandomTest, FillsEveryByteOfAnyLength) {
  SeededRandom random(1);
  for (std::size_t size = 0; size < 20; ++size) {
    std::vector<std::set<std::uint8_t>> seen(size);
    std::vector<std::uint8_t> bytes(size);
    for (int i = 0; i < 16; ++i) {
      random.Fill(bytes);
      for (std::size_t at = 0; at < size; ++at) seen[at].insert(bytes[at]);
    }
    for (const auto& values : seen) EXPECT_GT(values.size(), 1U) << size;
  }
}

TEST(RandomTest, TheKernelsNumbersDoNotRepeat) {
  OsRandom random;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.Next());
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(StringsTest, StrCatTakesBothViewsAndNumbers) {
  EXPECT_EQ(StrCat(std::string_view("a"), "b", std::string("c"), 1, absl::string_view("d")),
            "abc1d");
  std::string text = "x";
  StrAppend(text, std::string_view("y"), 2);
  EXPECT_EQ(text, "xy2");
}

TEST(ClockTest, MonotonicTimeDoesNotGoBack) {
  const SystemClock clock;
  MonotonicTime last = clock.Now();
  for (int i = 0; i < 1000; ++i) {
    const MonotonicTime now = clock.Now();
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_GT(clock.Wall(), WallTime{std::chrono::seconds(1'600'000'000)});
}

}  // namespace
}  // namespace postrider
