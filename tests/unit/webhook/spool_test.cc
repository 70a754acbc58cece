#include "server/webhook/spool.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <signal.h>
#include <sys/resource.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/webhook/spool_records.h"

namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

InboxRow RowOf(int n, std::size_t bytes = 20) {
  SeededRandom random(static_cast<std::uint64_t>(n) + 1);
  std::string body = StrCat("{\"n\":", n, "}");
  body.resize(std::max(bytes, body.size()), '\0');  // NULs, too
  return {.tenant_id = {MakeUuidV4(random)},
          .inbox_id = {MakeUuidV4(random)},
          .profile = n % 2 == 0 ? "guide" : "platform",
          .body = body};
}

bool Same(const InboxRow& a, const InboxRow& b) {
  return a.tenant_id == b.tenant_id && a.inbox_id == b.inbox_id && a.profile == b.profile &&
         a.body == b.body;
}

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() {
    std::string dir = ::testing::TempDir() + "spool-XXXXXX";
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    top_ = dir;
    options_.dir = dir + "/spool";
  }
  ~SpoolTest() override { std::filesystem::remove_all(top_); }

  std::unique_ptr<Spool> Open() {
    auto spool = Spool::Open(options_, metrics_);
    EXPECT_TRUE(spool.ok()) << spool.status();
    return spool.ok() ? *std::move(spool) : nullptr;
  }
  static absl::Status Append(Spool& spool, int first, int count = 1, std::size_t bytes = 20) {
    std::vector<InboxRow> rows;
    for (int n = first; n < first + count; ++n) rows.push_back(RowOf(n, bytes));
    return spool.Append(rows);
  }
  /// Takes out all rows; their numbers, each of which must be as it was put in.
  static std::vector<int> TakeAll(Spool& spool, std::size_t limit = 3) {
    std::vector<int> numbers;
    while (true) {
      const std::vector<InboxRow> rows = spool.Oldest(limit);
      if (rows.empty()) return numbers;
      for (const InboxRow& row : rows) {
        const int n = std::atoi(row.body.c_str() + 5);
        EXPECT_TRUE(Same(row, RowOf(n, row.body.size()))) << n;
        numbers.push_back(n);
      }
      spool.Forget();
    }
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(options_.dir))
      names.push_back(entry.path().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string top_;
  Spool::Options options_;
  Metrics metrics_;
};

TEST_F(SpoolTest, RowsComeBackAsTheyWereAndInOrder) {
  const auto spool = Open();
  ASSERT_TRUE(Append(*spool, 0, 4).ok());
  ASSERT_TRUE(Append(*spool, 4, 1, kMaxWebhookBytes).ok());
  ASSERT_TRUE(Append(*spool, 5).ok());
  EXPECT_EQ(spool->size(), 6U);
  EXPECT_THAT(TakeAll(*spool), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(spool->size(), 0U);
  EXPECT_THAT(Files(), IsEmpty()) << "what is empty needs no file";
  ASSERT_TRUE(Append(*spool, 6).ok());
  EXPECT_THAT(TakeAll(*spool), ElementsAre(6));
}

TEST_F(SpoolTest, WhatWasNotForgottenComesAgain) {
  const auto spool = Open();
  ASSERT_TRUE(Append(*spool, 0, 5).ok());
  EXPECT_EQ(spool->Oldest(2).size(), 2U);
  EXPECT_EQ(spool->Oldest(2).size(), 2U);
  spool->Forget();
  EXPECT_EQ(spool->size(), 3U);
  EXPECT_THAT(TakeAll(*spool), ElementsAre(2, 3, 4));
}

TEST_F(SpoolTest, ARestartFindsAllThatWasNotForgottenInFull) {
  {
    const auto spool = Open();
    ASSERT_TRUE(Append(*spool, 0, 5).ok());
    EXPECT_EQ(spool->Oldest(2).size(), 2U);
    spool->Forget();
  }
  const auto again = Open();
  EXPECT_EQ(again->size(), 5U)
      << "a file goes as a whole: the inbox knows the ids of the first two";
  ASSERT_TRUE(Append(*again, 5).ok());
  EXPECT_THAT(TakeAll(*again), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(SpoolTest, AFileGoesWhenItsRowsAreForgotten) {
  options_.file_bytes = 1000;
  const auto spool = Open();
  for (int n = 0; n < 50; ++n) ASSERT_TRUE(Append(*spool, n, 1, 100).ok());
  EXPECT_GE(Files().size(), 5U);
  const std::size_t before = Files().size();
  while (spool->size() > 30) {
    EXPECT_FALSE(spool->Oldest(1).empty());
    spool->Forget();
  }
  EXPECT_LT(Files().size(), before);
  EXPECT_EQ(TakeAll(*spool).size(), 30U);
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(SpoolTest, AFullSpoolRefusesAndCountsOnNothingOfIt) {
  options_.max_bytes = 2000;
  const auto spool = Open();
  int taken = 0;
  while (Append(*spool, taken, 1, 100).ok()) ++taken;
  EXPECT_GT(taken, 5);
  EXPECT_TRUE(absl::IsResourceExhausted(Append(*spool, taken, 1, 100)));
  EXPECT_EQ(spool->size(), static_cast<std::size_t>(taken));
  EXPECT_EQ(TakeAll(*spool).size(), static_cast<std::size_t>(taken));
  EXPECT_TRUE(Append(*spool, 0, 1, 100).ok()) << "there is room again";
}

TEST_F(SpoolTest, WhateverACrashLeavesOfTheLastRowTheOthersAreThere) {
  {
    const auto spool = Open();
    ASSERT_TRUE(Append(*spool, 0, 3).ok());
  }
  ASSERT_EQ(Files().size(), 1U);
  const std::string path = Files()[0];
  std::string whole;
  {
    std::ifstream file(path, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::string two(kSpoolMark);
  for (int n = 0; n < 2; ++n) AppendSpoolRecord(two, RowOf(n));
  ASSERT_EQ(whole.substr(0, two.size()), two);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << whole.substr(0, length);
    const auto spool = Open();
    const std::size_t rows = spool->size();
    EXPECT_LE(rows, 2U) << length;
    EXPECT_GE(rows, length >= two.size() ? 2U : 0U) << length;
    ASSERT_TRUE(Append(*spool, 7).ok());
    std::vector<int> taken = TakeAll(*spool);
    ASSERT_EQ(taken.size(), rows + 1) << length;
    EXPECT_EQ(taken.back(), 7) << "what comes later is not behind the torn row";
    EXPECT_THAT(Files(), IsEmpty());
  }
}

TEST_F(SpoolTest, AFlippedBitEndsAFileAndHarmsNothingBeforeIt) {
  {
    const auto spool = Open();
    ASSERT_TRUE(Append(*spool, 0, 3).ok());
  }
  const std::string path = Files()[0];
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-3, std::ios::end);
  file.put('X');
  file.close();
  const auto spool = Open();
  EXPECT_THAT(TakeAll(*spool), ElementsAre(0, 1));
}

TEST_F(SpoolTest, ADiskThatTakesNothingIsToldAndIsTriedAgain) {
  signal(SIGXFSZ, SIG_IGN);
  const auto spool = Open();
  ASSERT_TRUE(Append(*spool, 0, 2).ok());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit tight = before;
  // Room for half a row.
  tight.rlim_cur = std::filesystem::file_size(Files()[0]) + 40;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const absl::Status refused = Append(*spool, 2, 1, 1000);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_EQ(spool->size(), 2U);
  ASSERT_TRUE(Append(*spool, 3).ok());
  EXPECT_THAT(TakeAll(*spool), ElementsAre(0, 1, 3));
}

TEST_F(SpoolTest, AFileThatCannotBeReadAnyMoreIsPutAsideAndTheRestGoesOn) {
  options_.file_bytes = 1;
  const auto spool = Open();
  ASSERT_TRUE(Append(*spool, 0).ok());
  ASSERT_TRUE(Append(*spool, 1).ok());
  std::filesystem::resize_file(Files()[0], 10);
  EXPECT_THAT(spool->Oldest(5), IsEmpty());
  EXPECT_THAT(TakeAll(*spool), ElementsAre(1));
  ASSERT_EQ(Files().size(), 1U);
  EXPECT_TRUE(Files()[0].ends_with(".unreadable"));
}

TEST_F(SpoolTest, ADirectoryThatCannotBeUsedIsNamed) {
  options_.dir = "/dev/null/spool";
  const auto spool = Spool::Open(options_, metrics_);
  EXPECT_TRUE(absl::IsFailedPrecondition(spool.status()));
  EXPECT_NE(std::string(spool.status().message()).find("/dev/null/spool"), std::string::npos);
}

}  // namespace
}  // namespace postrider
