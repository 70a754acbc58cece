#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/model/limits.h"
#include "server/model/retention_limits.h"

namespace postrider {

/// How long classes of data are kept, of all tenants alike.
struct KeepTimes {
  /// Messages with their attempts and history, texts that came in, dead letters.
  std::chrono::days messages = kKeepMessages;
  /// Webhooks and what became of them.
  std::chrono::days webhooks = kKeepWebhooks;
};

/// What a look for partitions that are past their time did.
struct PartitionDrops {
  std::vector<std::string> dropped;
  std::vector<std::string> kept;  ///< Old enough, but something in them still waits.
  std::vector<std::string> failed;
  std::string why;  ///< Of the first that failed.
};

/// What an EraseSome did: rows by what was erased of them.
struct ErasedRows {
  int texts = 0;
  int numbers = 0;
  int webhooks = 0;  ///< Raw bytes, dead letters' too.
  bool has_more = false;
};

/// What tenants' settings let go before the message itself goes: a part of Store (store.h), whose
/// rules and errors hold.
class RetentionStore {
 public:
  virtual ~RetentionStore() = default;

  /// Erases texts and numbers that are older than their tenants want them kept, some of each kind a
  /// call. A message that may still be sent keeps both until it has ended; a webhook its bytes.
  /// What is erased is empty afterwards; a dead letter is discarded with its bytes. Conversations
  /// and suppressions keep the numbers that they are found by. Does nothing while another replica
  /// is at it.
  virtual absl::StatusOr<ErasedRows> EraseSome() = 0;
};

}  // namespace postrider
