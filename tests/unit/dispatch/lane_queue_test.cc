#include "server/dispatch/lane_queue.h"

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "tests/unit/dispatch/sender_of.h"

namespace postrider {
namespace {

const MonotonicTime kLaneNow{std::chrono::hours(1)};
constexpr auto kEverySender = [](SenderId) { return true; };

QueuedIntent Waiting(const std::string& name, std::size_t rank, std::uint8_t sender = 1,
                     std::chrono::nanoseconds age = {}) {
  QueuedIntent intent;
  intent.request.request_id = name;
  intent.request.sender_id = SenderOf(sender);
  intent.start_by = kLaneNow + kStartBy - age;
  intent.rank = rank;
  intent.segments = 2;
  return intent;
}

std::string Left(LaneQueue& queue, const LaneQueue::Ready& ready = kEverySender) {
  std::string left;
  while (const QueuedIntent* next = queue.Next(kLaneNow, ready)) {
    left += queue.Take(next).request.request_id;
  }
  return left;
}

TEST(LaneQueueTest, OrderTable) {
  struct Case {
    const char* name;
    std::vector<QueuedIntent> pushed;
    const char* left;
  };
  const Case cases[] = {
      {"as they came", {Waiting("a", 1), Waiting("b", 1), Waiting("c", 1)}, "abc"},
      {"also of several senders",
       {Waiting("a", 1, 9), Waiting("b", 1, 1), Waiting("c", 1, 9)},
       "abc"},
      {"urgent ones overtake", {Waiting("a", 2), Waiting("b", 1), Waiting("c", 0)}, "cba"},
      {"but not one that has waited for long",
       {Waiting("a", 2, 1, kStartBy / 2), Waiting("b", 2), Waiting("c", 0)},
       "acb"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    LaneQueue queue;
    for (const QueuedIntent& intent : c.pushed) queue.Push(intent);
    EXPECT_EQ(Left(queue), c.left);
    EXPECT_TRUE(queue.Empty());
  }
}

TEST(LaneQueueTest, ASenderWithoutTokensDoesNotHoldUpOthers) {
  LaneQueue queue;
  queue.Push(Waiting("a", 0, 1));
  queue.Push(Waiting("b", 2, 2));
  EXPECT_EQ(Left(queue, [](SenderId sender) { return sender != SenderOf(1); }), "b");
  EXPECT_EQ(queue.Senders(), std::vector{SenderOf(1)});
  EXPECT_EQ(Left(queue), "a");
}

TEST(LaneQueueTest, CountsWhatWaits) {
  LaneQueue queue;
  queue.Push(Waiting("a", 0, 1));
  queue.Push(Waiting("b", 2, 1));
  queue.Push(Waiting("c", 2, 2, 10ms));
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(queue.Waiting(0), 1);
  EXPECT_EQ(queue.Waiting(1), 1);
  EXPECT_EQ(queue.Waiting(2), 3);
  EXPECT_EQ(queue.SegmentsWaiting(SenderOf(1), 1), 2);
  EXPECT_EQ(queue.SegmentsWaiting(SenderOf(1), 2), 4);
  EXPECT_EQ(queue.SegmentsWaiting(SenderOf(7), 2), 0);
  EXPECT_EQ(queue.Oldest()->request.request_id, "c");
  EXPECT_EQ(queue.TakeAll().size(), 3U);
  EXPECT_TRUE(queue.Empty());
  EXPECT_EQ(queue.Oldest(), nullptr);
}

}  // namespace
}  // namespace postrider
