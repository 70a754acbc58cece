#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "server/store/store.h"

/// What FakeStore keeps: its tables' rows.
namespace postrider::fake_store {

/// Whether a failing operation has had its effect: kAfter is a commit in doubt.
enum class When { kBefore, kAfter };

struct Kept {
  Message message;
  std::vector<StatusEvent> history;
  std::vector<Attempt> attempts;
  std::vector<ReplicaId> makers;  ///< One an attempt.
  WallTime due_at{};
  std::set<std::string> receipt_hashes;
};
struct KeptRequest {
  MessageId message_id;
  std::string fingerprint;
};
using ContactKey = std::tuple<TenantId, std::string, SenderId>;
using QuotaKey = std::tuple<TenantId, std::int64_t, std::string>;  ///< Day since the epoch, token.
struct Replica {
  std::string name;
  WallTime expires_at{};
  bool fenced = false;
};
struct Slot {
  ReplicaId owner;
  std::int64_t epoch = 0;
};
enum class InboxState { kOpen, kApplied, kDuplicate, kParked, kDeadLetter };
struct KeptInbox {
  InboxRow row;
  WallTime received_at{};
  InboxState state = InboxState::kOpen;
};
struct KeptTick {
  Tick tick;
  std::size_t events = 0;  ///< How many of `events_` it shows.
};
struct Fault {
  int left = 0;
  When when = When::kBefore;
  std::string operation;
};

}  // namespace postrider::fake_store
