#include "server/policy/sender_rate.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(SenderRateTest, SegmentsPerSecondTable) {
  struct Case {
    const char* name;
    const char* address;
    double per_s;
  };
  const Case cases[] = {
      {"a long code of the US", "+12125550100", 1},
      {"of Canada", "+14165550100", 1},
      {"toll-free", "+18005550100", 3},
      {"toll-free too", "+18885550100", 3},
      {"801 is Utah", "+18015550100", 1},
      {"outside North America", "+4915112345678", 10},
      {"a name", "Postrider", 10},
      {"a name that begins with a digit", "4you", 10},
      {"a short code", "72345", 100},
      {"too long for one", "123456789", 10},
      {"nothing", "", 10},
  };
  for (const Case& c : cases) EXPECT_EQ(SegmentsPerSecondOf(c.address), c.per_s) << c.name;
}

}  // namespace
}  // namespace postrider
