#include "server/api/page_token.h"

#include <gtest/gtest.h>

#include "server/model/conversation_limits.h"
#include "tests/unit/api/api_tenant.h"

namespace postrider {
namespace {

const PagePlace kPlace{UuidOf(7), UuidOf(8)};

TEST(PageTokenTest, ComesBackAsItWasOfItsTenantAndItsListOnly) {
  const std::string token = EncodePageToken(kTenant, "list a", kPlace);
  EXPECT_LE(token.size(), kMaxPageTokenBytes);
  EXPECT_EQ(ParsePageToken(kTenant, "list a", token), kPlace);
  EXPECT_EQ(ParsePageToken({UuidOf(2)}, "list a", token), std::nullopt) << "another tenant's";
  EXPECT_EQ(ParsePageToken(kTenant, "list b", token), std::nullopt) << "another list's";
}

TEST(PageTokenTest, WhatWasAlteredIsNone) {
  const std::string token = EncodePageToken(kTenant, "list", kPlace);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string altered = token;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(ParsePageToken(kTenant, "list", altered), std::nullopt) << i;
  }
  for (const std::string& bad : {std::string(), std::string("!"), token.substr(1), token + "AAAA",
                                 std::string(kMaxPageTokenBytes + 1, 'A')}) {
    EXPECT_EQ(ParsePageToken(kTenant, "list", bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace postrider
