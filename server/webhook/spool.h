#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/model/intake_limits.h"
#include "server/model/receipt.h"

namespace postrider {

/// What this machine keeps of webhooks while Postgres does not take them: step 8 of the life of a
/// message (server/README.md).
///
/// Rows stand in files of a directory of its own, in the order in which they came, each with its
/// length and a checksum. A row counts when its bytes are synced. What a crash left half written at
/// the end of a file never did, and is left out. A file goes when its rows are forgotten; rows that
/// were given out and not forgotten come again after a restart.
///
/// Append is for one caller at a time, Oldest and Forget for another; they block for the disk.
class Spool {
 public:
  struct Options {
    std::string dir;                             ///< Made when it is not there, with mode 0700.
    std::uint64_t max_bytes = kSpoolBytes;       ///< Of all files; beyond, Append refuses.
    std::uint64_t file_bytes = kSpoolFileBytes;  ///< Beyond, the next file is begun.
  };

  /// Finds what a process before this one left. FAILED_PRECONDITION, naming the directory, when it
  /// cannot be used. `metrics` must outlive it.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(Options options, Metrics& metrics);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// OK: all of `rows` are durable. RESOURCE_EXHAUSTED at max_bytes, UNAVAILABLE when the disk does
  /// not take them: none may be counted on.
  absl::Status Append(std::span<const InboxRow> rows);
  /// The oldest rows, `limit` at most. They stay until they are forgotten. A file that cannot be
  /// read any more is logged, counted and put aside under another name.
  std::vector<InboxRow> Oldest(std::size_t limit);
  /// Those that Oldest gave last are somewhere else now.
  void Forget();

  /// How many rows there are. Safe from any thread.
  std::size_t size() const;

 private:
  struct File {
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;  ///< Synced.
    std::size_t rows = 0;
  };

  Spool(Options options, Metrics& metrics);
  absl::Status Recover();
  absl::Status BeginFile();
  absl::Status Write(const std::string& bytes);
  void PutAside(const File& file);
  /// Removes files from the oldest on that have nothing that is not forgotten.
  void RemoveDone();
  void DropOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string PathOf(std::uint64_t number) const;
  void Show() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Gauge& rows_shown_;
  Gauge& bytes_shown_;
  Counter& spooled_;
  Counter& failures_;
  Counter& unreadable_;

  // Of Append's caller.
  int fd_ = -1;  ///< Of the file that is written; -1: none.
  std::uint64_t last_number_ = 0;

  // Of Oldest's and Forget's caller.
  std::uint64_t offset_ = 0;  ///< In the oldest file: before it all is forgotten.
  std::uint64_t given_bytes_ = 0;
  std::size_t given_rows_ = 0;

  mutable Mutex mu_;
  std::deque<File> files_ ABSL_GUARDED_BY(mu_);  ///< Oldest first.
  std::uint64_t open_ ABSL_GUARDED_BY(mu_) = 0;  ///< The file that is written; 0: none.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;    ///< To it, now.
  std::uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::size_t forgotten_ ABSL_GUARDED_BY(mu_) = 0;  ///< Rows of the oldest file.
};

}  // namespace postrider
