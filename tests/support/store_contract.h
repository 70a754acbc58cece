#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "server/store/store.h"

namespace postrider {

/// An empty store under test, and what a test may do around it.
struct StoreSubject {
  std::shared_ptr<Store> store;
  std::function<WallTime()> now;  ///< The store's own time.
  /// Lets the store's time pass; null: cannot be done, and tests that need it are skipped.
  std::function<void(std::chrono::nanoseconds)> advance;
  /// Puts an opt-out of the whole tenant in force.
  std::function<void(TenantId, const std::string& recipient)> suppress;
  /// Sets the tenant's opt_out_confirmation.
  std::function<void(TenantId, const std::string& text)> confirm_opt_outs;
};
struct StoreFactory {
  std::string name;
  std::function<StoreSubject()> make;
  friend std::ostream& operator<<(std::ostream& out, const StoreFactory& f) {
    return out << f.name;
  }
};

std::vector<int> AllSlots();

/// What every Store must do, in memory or in Postgres: server/store/store.h as tests. Link
/// postrider_store_contract and instantiate it:
///   INSTANTIATE_TEST_SUITE_P(Fake, StoreContract, ::testing::Values(StoreFactory{...}));
class StoreContract : public ::testing::TestWithParam<StoreFactory> {
 protected:
  StoreContract();

  /// A message with a request_id of its own, from the tenant's first sender.
  NewMessage Fresh(const std::string& recipient = "+15550000001");
  NewMessage FreshOf(TenantId tenant);
  /// Accepts it, which must work; returns its key.
  MessageKey Accepted(const NewMessage& message);
  MessageKey Accepted() { return Accepted(Fresh()); }
  Acceptance AcceptOne(const NewMessage& message);

  /// A live replica that has taken all the slots it gets.
  ReplicaId NewReplica();
  std::vector<Lease> LeasesOf(ReplicaId replica);
  /// Intends it, which must give kPost; returns the attempt.
  int Intended(ReplicaId replica, const MessageKey& key);
  Intent IntendOne(ReplicaId replica, const MessageKey& key);
  void Record(ReplicaId replica, const MessageKey& key, int attempt, OutcomeKind kind,
              const std::string& provider_message_id = {});
  /// Accepted, intended and SUBMITTED.
  MessageKey Submitted(ReplicaId replica, const std::string& provider_message_id = {});

  /// A receipt of `key`'s message; `age` moves its time of the provider.
  ParsedReceipt ReceiptFor(const MessageKey& key, MessageState state, const std::string& body);
  /// Appends and applies it.
  ApplyCounts Apply(const ParsedReceipt& receipt);

  /// A text of `recipient`'s to the tenant's first sender; each has a body of its own.
  NewInbound InboundFrom(const std::string& recipient, const std::string& provider_message_id);
  /// Appends and records them.
  std::vector<InboxVerdict> RecordAll(std::span<const NewInbound> batch);

  /// Applies a FAILED receipt of this attempt, with a body of its own.
  void Fail(const MessageKey& key, int attempt);
  /// Accepted, posted without an answer, and UNDETERMINED.
  MessageKey Undetermined(ReplicaId replica);

  /// A receipt that cannot be read, which was made a dead letter.
  ParsedReceipt Unreadable(const std::string& body);
  /// A text to nobody's sender, the same.
  NewInbound Stray();

  MessageStatus StatusOf(const MessageKey& key);
  std::vector<MessageState> HistoryOf(const MessageKey& key);
  Tick NewTick();

  StoreSubject subject_;
  Store& store_;
  SeededRandom random_{1};
  TenantRow tenant_;
  int made_ = 0;
};

}  // namespace postrider
