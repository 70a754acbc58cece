#include "server/policy/phone_number.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(IsE164Test, Table) {
  for (const char* number : {"+15551234567", "+4930123456", "+12345678", "+123456789012345"}) {
    EXPECT_TRUE(IsE164(number)) << number;
  }
  for (const char* number : {"", "+", "15551234567", "+1555123456x", "+05551234567", "+1234567",
                             "+1234567890123456", " +15551234567", "+1 5551234567", "73737"}) {
    EXPECT_FALSE(IsE164(number)) << number;
  }
}

}  // namespace
}  // namespace postrider
