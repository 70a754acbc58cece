#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace postrider {

/// A lock between processes, held as long as the object lives and let go by the kernel however
/// the process ends. The file stays; its text is the holder's pid, for people.
/// Source: flock(2).
class FileLock {
 public:
  /// Never blocks. Makes the file when there is none. UNAVAILABLE when another process holds it;
  /// the message names its pid. FAILED_PRECONDITION when the file cannot be opened.
  static absl::StatusOr<FileLock> TryAcquire(const std::string& path);

  FileLock(FileLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace postrider
