#include "server/model/ids.h"

#include <set>

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"
#include "server/model/limits.h"

namespace postrider {
namespace {

WallTime AtMs(std::int64_t ms) { return WallTime{std::chrono::milliseconds(ms)}; }

TEST(UuidTest, ParsesWhatItPrints) {
  SeededRandom random(1);
  for (int i = 0; i < 100; ++i) {
    const Uuid id = MakeUuidV4(random);
    const auto parsed = ParseUuid(id.ToString());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, id);
  }
  EXPECT_EQ(Uuid{}.ToString(), "00000000-0000-0000-0000-000000000000");
  EXPECT_TRUE(ParseUuid("00000000-0000-0000-0000-000000000000")->IsNil());
}

TEST(UuidTest, ParseTable) {
  struct Case {
    const char* text;
    bool ok;
  };
  const Case cases[] = {
      {"8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c", true},
      {"8F4E2A1B-9C3D-4E5F-A6B7-8D9E0F1A2B3C", true},
      {"ffffffff-ffff-ffff-ffff-ffffffffffff", true},
      {"", false},
      {"8f4e2a1b9c3d4e5fa6b78d9e0f1a2b3c", false},
      {"{8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3}", false},
      {"8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3", false},
      {"8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c ", false},
      {" 8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3", false},
      {"8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3g", false},
      {"8f4e2a1b--c3d-4e5f-a6b7-8d9e0f1a2b3c", false},
      {"8f4e2a1b99c3d-4e5f-a6b7-8d9e0f1a2b3c", false},
      {"8f4e2a1-b9c3d-4e5f-a6b7-8d9e0f1a2b3c", false},
      {"8f4e2a1b-9c3d-4e5f-a6b7+8d9e0f1a2b3c", false},
      {"------------------------------------", false},
  };
  for (const Case& c : cases) {
    const auto parsed = ParseUuid(c.text);
    EXPECT_EQ(parsed.ok(), c.ok) << c.text;
    EXPECT_TRUE(c.ok || absl::IsInvalidArgument(parsed.status())) << c.text;
  }
  EXPECT_EQ(ParseUuid("8F4E2A1B-9C3D-4E5F-A6B7-8D9E0F1A2B3C")->ToString(),
            "8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c");
}

TEST(UuidTest, VersionAndVariantAreThoseOfTheRfc) {
  SeededRandom random(2);
  for (int i = 0; i < 1000; ++i) {
    const Uuid v4 = MakeUuidV4(random);
    EXPECT_EQ(v4.bytes[6] >> 4, 4);
    EXPECT_EQ(v4.bytes[8] >> 6, 2);
    const Uuid v7 = MakeUuidV7(AtMs(1700000000000 + i), random);
    EXPECT_EQ(v7.bytes[6] >> 4, 7);
    EXPECT_EQ(v7.bytes[8] >> 6, 2);
  }
}

TEST(UuidTest, V7CarriesItsTimeAndSortsByIt) {
  SeededRandom random(3);
  // The example of RFC 9562, A.6: 2022-02-22 19:22:22 GMT.
  EXPECT_EQ(MakeUuidV7(AtMs(0x017F22E279B0), random).ToString().substr(0, 15), "017f22e2-79b0-7");
  Uuid last = MakeUuidV7(AtMs(1), random);
  for (std::int64_t ms = 2; ms < 9'000'000'000'000; ms *= 3) {
    const Uuid next = MakeUuidV7(AtMs(ms), random);
    EXPECT_LT(last, next) << ms;
    EXPECT_LT(last.ToString(), next.ToString()) << "as text too";
    last = next;
  }
}

TEST(UuidTest, TheLeastV7OfAnInstantBoundsAllOfIt) {
  SeededRandom random(4);
  const Uuid least = LeastUuidV7(AtMs(1700000000000));
  const Uuid next = LeastUuidV7(AtMs(1700000000001));
  EXPECT_EQ(least.bytes[6] >> 4, 7);
  for (int i = 0; i < 1000; ++i) {
    const Uuid id = MakeUuidV7(AtMs(1700000000000), random);
    EXPECT_LE(least, id);
    EXPECT_LT(id, next);
  }
}

TEST(UuidTest, AnInstantIsReadFromAV7AndFromNothingElseBeyondWhatAClockShows) {
  SeededRandom random(3);
  EXPECT_EQ(TimeOfUuidV7(MakeUuidV7(AtMs(1700000000123), random)), AtMs(1700000000123));
  Uuid last;
  last.bytes.fill(0xff);
  EXPECT_GT(TimeOfUuidV7(last), AtMs(1700000000123));
  EXPECT_EQ(TimeOfUuidV7(Uuid{}), WallTime{});
}

TEST(UuidTest, IdsOfOneMillisecondDiffer) {
  SeededRandom random(5);
  std::set<Uuid> ids;
  for (int i = 0; i < 10000; ++i) ids.insert(MakeUuidV7(AtMs(1700000000000), random));
  EXPECT_EQ(ids.size(), 10000U);
}

// Slots are in rows of every database: a change of these values loses queued messages.
TEST(SlotTest, ATenantsSlotIsTheSameForEver) {
  struct Case {
    const char* tenant;
    int slot;
  };
  const Case cases[] = {
      {"00000000-0000-0000-0000-000000000000", 5},  {"8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c", 5},
      {"ffffffff-ffff-ffff-ffff-ffffffffffff", 5},  {"00000000-0000-4000-8000-000000000001", 2},
      {"00000000-0000-4000-8000-000000000002", 15},
  };
  for (const Case& c : cases) EXPECT_EQ(SlotOf(*TenantId::Parse(c.tenant)), c.slot) << c.tenant;
}

TEST(SlotTest, TenantsSpreadOverAllSlots) {
  SeededRandom random(6);
  int tenants[kSlots] = {};
  for (int i = 0; i < 16000; ++i) ++tenants[SlotOf({MakeUuidV4(random)})];
  for (const int count : tenants) {
    EXPECT_GT(count, 800);
    EXPECT_LT(count, 1200);
  }
}

// limits.h asserts what must hold between limits; these are part of the schema and the contract.
static_assert(kSlots == 16 && kMaxRequestIdBytes == 64 && kMaxTextCharacters == 765);

}  // namespace
}  // namespace postrider
