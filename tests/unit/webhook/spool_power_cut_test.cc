// What is answered survives that the power goes: of the spool's files only what was synced is left.
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "server/base/mutant.h"
#include "server/base/strings.h"
#include "server/webhook/spool.h"

namespace {

/// The part of every file that was synced, and which files a synced directory names.
std::map<std::string, std::uintmax_t> synced_bytes;
std::map<std::string, bool> synced_names;

std::string PathOfDescriptor(int fd) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), path.data(), path.size() - 1);
  return n > 0 ? std::string(path.data(), static_cast<std::size_t>(n)) : "";
}

void NoteSync(int fd) {
  namespace fs = std::filesystem;
  const std::string path = PathOfDescriptor(fd);
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    for (const auto& entry : fs::directory_iterator(path, ignored)) {
      synced_names[entry.path().string()] = true;
    }
  } else if (fs::is_regular_file(path, ignored)) {
    synced_bytes[path] = fs::file_size(path, ignored);
  }
}

}  // namespace

// In place of the C library's for this program: the same, on record.
extern "C" int fdatasync(int fd) {
  NoteSync(fd);
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
extern "C" int fsync(int fd) {
  NoteSync(fd);
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace postrider {
namespace {

/// How many of 60 rows that were counted on are lost when the power goes after the last of them.
int LostByAPowerCut() {
  namespace fs = std::filesystem;
  std::string top = ::testing::TempDir() + "power-XXXXXX";
  EXPECT_NE(mkdtemp(top.data()), nullptr);
  synced_bytes.clear();
  synced_names.clear();
  Metrics metrics;
  const Spool::Options options{.dir = top + "/spool", .file_bytes = 2000};
  SeededRandom random(1);
  int counted_on = 0;
  {
    auto spool = Spool::Open(options, metrics);
    EXPECT_TRUE(spool.ok()) << spool.status();
    for (int i = 0; i < 20; ++i) {
      std::vector<InboxRow> rows;
      for (int row = 0; row < 3; ++row) {
        rows.push_back({.tenant_id = {MakeUuidV4(random)},
                        .inbox_id = {MakeUuidV4(random)},
                        .profile = "guide",
                        .body = StrCat("{\"n\":", i, "}")});
      }
      if ((*spool)->Append(rows).ok()) counted_on += 3;
    }
  }
  for (const auto& entry : fs::directory_iterator(options.dir)) {
    const std::string path = entry.path().string();
    if (!synced_names[path]) {
      fs::remove(entry.path());
    } else {
      fs::resize_file(entry.path(), synced_bytes[path]);
    }
  }
  auto spool = Spool::Open(options, metrics);
  EXPECT_TRUE(spool.ok()) << spool.status();
  const int found = static_cast<int>((*spool)->size());
  spool->reset();
  fs::remove_all(top);
  EXPECT_EQ(counted_on, 60);
  return counted_on - found;
}

TEST(SpoolPowerCutTest, NothingThatWasCountedOnIsLost) { EXPECT_EQ(LostByAPowerCut(), 0); }

#ifdef POSTRIDER_MUTANTS
TEST(SpoolPowerCutTest, ItWouldFindASpoolThatDoesNotSync) {
  SetMutant(Mutant::kSpoolUnsynced);
  const int lost = LostByAPowerCut();
  SetMutant(Mutant::kNone);
  EXPECT_GT(lost, 0);
}
#endif

}  // namespace
}  // namespace postrider
