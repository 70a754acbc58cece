#include "server/base/file_lock.h"

#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

TEST(FileLockTest, OneHolderAtATimeWhoIsNamed) {
  const std::string path = StrCat(::testing::TempDir(), "/file_lock_", getpid());
  {
    const auto first = FileLock::TryAcquire(path);
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = FileLock::TryAcquire(path);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(second.status().ToString(), HasSubstr(StrCat("pid ", getpid())));
  }
  EXPECT_TRUE(FileLock::TryAcquire(path).ok()) << "let go by the destructor";
  unlink(path.c_str());
}

TEST(FileLockTest, AMovedLockIsStillHeld) {
  const std::string path = StrCat(::testing::TempDir(), "/file_lock_moved_", getpid());
  auto lock = FileLock::TryAcquire(path);
  ASSERT_TRUE(lock.ok());
  const FileLock moved = *std::move(lock);
  EXPECT_FALSE(FileLock::TryAcquire(path).ok());
  unlink(path.c_str());
}

TEST(FileLockTest, APathThatCannotBeOpenedIsNamed) {
  const auto lock = FileLock::TryAcquire("/nowhere/lock");
  EXPECT_EQ(lock.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(lock.status().ToString(), HasSubstr("/nowhere/lock"));
}

}  // namespace
}  // namespace postrider
