#include "server/fanout/resume_token.h"

#include <gtest/gtest.h>

#include "server/model/limits.h"
#include "tests/support/event_log.h"

namespace postrider {
namespace {

const TenantId kOwner{UuidOf(1)};

Tick TickOf(std::int64_t number) {
  return {number, UuidOf(static_cast<std::uint64_t>(number)), {}};
}

EventPosition Inside() { return {TickOf(41), TickOf(43), {UuidOf(9)}, 7, false}; }

TEST(ResumeTokenTest, WhatWasEncodedComesBack) {
  const EventPosition cases[] = {
      {TickOf(1), {}, {}, 0, false},
      {TickOf(INT64_MAX - 1), TickOf(INT64_MAX), {UuidOf(~0ULL)}, INT32_MAX, false},
      Inside(),
      {TickOf(5), {}, {}, 0, true},
      {TickOf(5), {}, {UuidOf(3)}, 0, true},
  };
  for (const EventPosition& position : cases) {
    const std::string token = EncodeResumeToken(position, kOwner);
    SCOPED_TRACE(token);
    EXPECT_LE(token.size(), kMaxResumeTokenBytes);
    const auto parsed = ParseResumeToken(token, kOwner);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, position);
    EXPECT_EQ(parsed->after.nonce, position.after.nonce);
    EXPECT_EQ(parsed->upto.nonce, position.upto.nonce);
  }
}

TEST(ResumeTokenTest, IsRefusedForAnotherTenant) {
  const std::string token = EncodeResumeToken(Inside(), kOwner);
  EXPECT_TRUE(absl::IsInvalidArgument(ParseResumeToken(token, TenantId{UuidOf(2)}).status()));
}

TEST(ResumeTokenTest, IsRefusedWithAnyByteChanged) {
  const std::string token = EncodeResumeToken(Inside(), kOwner);
  for (std::size_t i = 0; i < token.size(); ++i) {
    for (const char c : {'A', 'z', '_', '=', '\0', '\xff'}) {
      if (token[i] == c) continue;
      std::string changed = token;
      changed[i] = c;
      EXPECT_TRUE(absl::IsInvalidArgument(ParseResumeToken(changed, kOwner).status()))
          << i << " " << c;
    }
  }
}

TEST(ResumeTokenTest, IsRefusedTruncatedOrExtended) {
  const std::string token = EncodeResumeToken(Inside(), kOwner);
  for (std::size_t size = 0; size < token.size(); ++size) {
    EXPECT_FALSE(ParseResumeToken(token.substr(0, size), kOwner).ok()) << size;
  }
  for (const char* tail : {"A", "=", "==", "AAAA", " ", "\n"}) {
    EXPECT_FALSE(ParseResumeToken(token + tail, kOwner).ok()) << tail;
  }
  EXPECT_FALSE(ParseResumeToken(token + token, kOwner).ok());
  EXPECT_FALSE(ParseResumeToken(std::string(100000, 'A'), kOwner).ok());
}

TEST(ResumeTokenTest, IsRefusedWhenItsPositionMakesNoSense) {
  const EventPosition cases[] = {
      {},                                               // before every tick
      {TickOf(43), TickOf(43), {UuidOf(9)}, 7, false},  // an empty range
      {TickOf(44), TickOf(43), {UuidOf(9)}, 7, false},  // ends before it begins
      {TickOf(41), TickOf(43), {UuidOf(9)}, 0, false},  // no revision
      {TickOf(41), {}, {UuidOf(9)}, 1, false},          // inside of nothing
      {TickOf(41), TickOf(43), {UuidOf(9)}, 7, true},   // a snapshot has no end tick
      {TickOf(-1), {}, {}, 0, false},
  };
  for (const EventPosition& position : cases) {
    EXPECT_FALSE(ParseResumeToken(EncodeResumeToken(position, kOwner), kOwner).ok());
  }
}

}  // namespace
}  // namespace postrider
