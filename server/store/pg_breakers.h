#pragma once

#include <map>
#include <span>

#include "server/model/breaker.h"
#include "server/store/breakers.h"
#include "server/store/pg_session.h"

namespace postrider {

/// What one transaction's rows say to the breakers: collected, then added in one statement.
class BreakerCounts {
 public:
  void Count(TenantId tenant, Breaker breaker, BreakerVerdict verdict);
  /// Writes what was counted, in the order of the keys; nothing when nothing was.
  void Write(PgTransaction& transaction) const;

 private:
  struct Sum {
    int calls = 0;
    int failures = 0;
  };
  std::map<BreakerKey, Sum> sums_;
};

/// Both breakers of each of `tenants`, by tenant and breaker.
BreakerReadings ReadBreakersOf(PgTransaction& transaction, std::span<const TenantId> tenants);

}  // namespace postrider
