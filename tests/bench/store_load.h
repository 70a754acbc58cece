#pragma once

#include <string>

#include "server/model/message.h"
#include "server/store/tenants.h"

namespace postrider::bench {

/// Accept() rows per second with `writers` workers and full batches: what the store alone can do.
double MeasureAcceptRate(const std::string& database_url, const TenantRow& tenant, int writers,
                         double seconds);
/// The median of Accept() of one row at a time, in milliseconds.
double MeasureAcceptAloneMs(const std::string& database_url, const TenantRow& tenant, int calls);
/// Queues `count` messages of `tenant` by SQL.
void FillQueue(const std::string& database_url, const TenantRow& tenant, int count);
std::string PostgresVersion(const std::string& database_url);

}  // namespace postrider::bench
