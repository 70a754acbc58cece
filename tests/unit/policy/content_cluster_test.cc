#include "server/policy/content_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/model/content_limits.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr WallTime kNow{std::chrono::hours(1000)};
constexpr WallTime kSent = kNow - std::chrono::minutes(9);

MessageId IdOf(int number) {
  MessageId id;
  id.uuid.bytes[15] = static_cast<std::uint8_t>(number);
  return id;
}

/// Messages with one text: some rejected, others delivered.
struct Answers {
  std::vector<AnsweredMessage> all;

  Answers& Add(const std::string& text, int rejected, int delivered, WallTime answered_at = kNow,
               WallTime sent_at = kSent) {
    for (int i = 0; i < rejected + delivered; ++i) {
      all.push_back({IdOf(static_cast<int>(all.size())), text, i < rejected, sent_at, answered_at});
    }
    return *this;
  }
  std::optional<ContentCluster> Find(WallTime since = {}) const {
    return FindCluster(all, since, kNow);
  }
};

TEST(ContentClusterTest, FiveOfAFifthAreOne) {
  const struct {
    int rejected;
    int delivered;
    bool found;
  } cases[] = {{0, 0, false},  {4, 0, false}, {5, 0, true},    {5, 20, true},
               {5, 21, false}, {6, 24, true}, {40, 160, true}, {39, 161, false}};
  for (const auto& c : cases) {
    EXPECT_EQ(Answers().Add("a", c.rejected, c.delivered).Find().has_value(), c.found)
        << c.rejected << " of " << c.rejected + c.delivered;
  }
}

TEST(ContentClusterTest, EachTextIsJudgedByItself) {
  const auto found = Answers().Add("good", 2, 190).Add("bad", 5, 3).Add("odd", 4, 0).Find();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->content_key, "bad");
  EXPECT_EQ(found->answered, 8);
  EXPECT_THAT(found->rejected, ElementsAre(IdOf(192), IdOf(193), IdOf(194), IdOf(195), IdOf(196)));
  EXPECT_FALSE(Answers().Add("a", 4, 0).Add("b", 4, 0).Find()) << "five in all, of two texts";
  EXPECT_EQ(Answers().Add("a", 5, 0).Add("b", 6, 0).Find()->content_key, "b") << "the worst";
}

TEST(ContentClusterTest, OnlyTheLastMinutesCount) {
  const WallTime edge = kNow - kClusterWindow;
  EXPECT_TRUE(Answers().Add("a", 5, 0, edge).Find());
  EXPECT_FALSE(Answers().Add("a", 5, 0, edge - std::chrono::microseconds(1)).Find());
  EXPECT_FALSE(Answers().Add("a", 3, 0, edge - std::chrono::minutes(1)).Add("a", 4, 0).Find());
  EXPECT_TRUE(Answers().Add("a", 0, 99, edge - std::chrono::minutes(1)).Add("a", 5, 0).Find())
      << "what was delivered long ago excuses nothing";
}

TEST(ContentClusterTest, WhatWasSentBeforeTheLastOneCountsNoMore) {
  Answers answers;
  answers.Add("a", 50, 0);
  EXPECT_FALSE(answers.Find(kSent));
  EXPECT_TRUE(answers.Find(kSent - std::chrono::microseconds(1)));
  answers.Add("a", 4, 0, kNow, kSent + std::chrono::minutes(1));
  EXPECT_FALSE(answers.Find(kSent));
  answers.Add("a", 1, 0, kNow, kSent + std::chrono::minutes(1));
  ASSERT_TRUE(answers.Find(kSent));
  EXPECT_THAT(answers.Find(kSent)->rejected, SizeIs(5));
}

TEST(ContentClusterTest, OnlyContentIsRejectedForContent) {
  for (int state = 1; state <= 12; ++state) {
    for (int failure = 0; failure <= 11; ++failure) {
      const bool its = state == static_cast<int>(MessageState::kFailed) &&
                       (failure == static_cast<int>(FailureReason::kCarrierRejected) ||
                        failure == static_cast<int>(FailureReason::kContent));
      EXPECT_EQ(IsRejectedForContent(static_cast<MessageState>(state),
                                     static_cast<FailureReason>(failure)),
                its)
          << state << " " << failure;
    }
  }
}

TEST(ContentClusterTest, TheReasonSaysWhatHappenedAndWhatToDo) {
  const std::string reason = PauseReasonOf(*Answers().Add("a", 5, 3).Find());
  EXPECT_THAT(reason, HasSubstr("carriers rejected 5 of the last 8 messages with one text"));
  EXPECT_THAT(reason, HasSubstr(IdOf(0).ToString()));
  EXPECT_THAT(reason, HasSubstr("resume the campaign"));
}

}  // namespace
}  // namespace postrider
