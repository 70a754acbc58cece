#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/ids.h"
#include "server/model/intake_limits.h"
#include "server/store/pg_session.h"

namespace postrider {

/// Whether webhooks add up (invariant S8): counts those that came between kAccountAfter and
/// kAccountUntil ago and have neither been applied nor found to be copies, nor are parked or dead.
///
/// Each is looked at once, when it is old enough, by going on from where the last look ended:
/// webhooks and ends of such a stretch are counted, which reads two indexes in order, and only
/// where they differ is it asked who has none. Those are looked at again. For one caller at a time.
class InboxAccount {
 public:
  struct Options {
    std::int64_t rows = kAccountRows;       ///< Webhooks looked at by a call; the next goes on.
    std::int64_t least = kAccountLeast;     ///< Of each tenant nevertheless.
    std::size_t listed = kMostUnaccounted;  ///< Kept in memory; then nothing new is looked at.
  };

  /// All must outlive it.
  InboxAccount(PgPool& pool, const Clock& clock, Options options)
      : pool_(pool), clock_(clock), options_(options) {}

  /// How many of `tenants`' webhooks have no end, as far as they were looked at; Options.listed at
  /// most. Errors as Store's.
  absl::StatusOr<std::int64_t> Count(std::span<const TenantId> tenants);

 private:
  using Webhook = std::pair<TenantId, InboxId>;
  /// A stretch of a tenant's inbox: `since` is part of it, `upto` is not.
  struct Stretch {
    TenantId tenant_id;
    Uuid since;
    Uuid upto;
    std::int64_t webhooks = 0;
    bool differs = false;
    bool more = false;  ///< There are more of age.
  };

  void Follow(std::span<const TenantId> tenants);
  void LookAgain(PgTransaction& transaction);
  std::vector<Stretch> Look(PgTransaction& transaction, std::span<const TenantId> tenants,
                            std::int64_t most);
  /// Goes on to the ends of `stretches`, having listed who in them has no end.
  void ListOpen(PgTransaction& transaction, std::span<const Stretch> stretches);

  PgPool& pool_;
  const Clock& clock_;
  const Options options_;
  std::map<TenantId, Uuid> since_;  ///< Where the next look begins.
  std::set<Webhook> open_;          ///< Those without an end.
};

}  // namespace postrider
