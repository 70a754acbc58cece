#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/model/ids.h"

namespace postrider {

/// One POST of a message as the sandbox saw it.
struct LedgerEntry {
  std::int64_t number = 0;  ///< 1, 2, 3 ... since the sandbox started; Append() gives it.
  WallTime at{};
  std::string client_id;  ///< Empty when the token was not good.
  std::string recipient;
  std::string sender;
  MessageId message_id;        ///< postriderMessageId; nil when the metadata has none.
  int attempt = 0;             ///< postriderAttempt; 0 when the metadata has none.
  bool processed = false;      ///< The message went out, whatever was answered.
  int http_status = 0;         ///< What was answered; 0: nothing, the connection was closed.
  Uuid provider_message_uuid;  ///< "msg-" and this is the provider's id; nil when not processed.

  /// One line of JSON with these names, without a line end.
  std::string ToJson() const;
};

/// What the outside world really got: tests and invariants compare the gateway's record with it.
/// The last `capacity` entries are in memory. With a file each entry is also appended to it
/// before Append() returns, so that it outlives a kill of the process (not of the machine). A kill
/// in the midst of Append() may leave a part of a line, which readers pass over.
///
/// Safe from any thread.
class Ledger {
 public:
  /// `file` empty: memory only. `capacity` >= 1; what is older is forgotten.
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(std::size_t capacity,
                                                      const std::string& file);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// Numbers and keeps `entry`. A file that cannot be written is logged, once.
  void Append(LedgerEntry entry);

  /// The entries after number `after`, oldest first, `limit` at most.
  std::vector<LedgerEntry> After(std::int64_t after, std::size_t limit) const;

  struct Totals {
    std::int64_t posts = 0;
    std::int64_t processed = 0;
  };
  Totals totals() const;

 private:
  Ledger(std::size_t capacity, int file) : capacity_(capacity), file_(file) {}

  const std::size_t capacity_;
  const int file_;  ///< -1: none.

  mutable Mutex mu_;
  std::deque<LedgerEntry> entries_ ABSL_GUARDED_BY(mu_);
  Totals totals_ ABSL_GUARDED_BY(mu_);
  bool file_failed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace postrider
