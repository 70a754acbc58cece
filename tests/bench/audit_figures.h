#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/bench/process.h"
#include "tests/bench/report.h"

namespace postrider::bench {

/// Where audit queries are measured.
struct AuditBench {
  std::string database_url;
  std::string page;  ///< migrations/AUDIT.md
  std::function<GatewayProcess(std::vector<std::string> flags)> start_gateway;
};

/// How long the queries of the page take, as an auditor, over 10,000,000 messages of the last 100
/// days; of the last 30 days all that belongs to them, too (queries that go back farther read
/// messages, counts and actions only). Those of the hash chain are measured with it.
void MeasureAuditQueries(const AuditBench& bench, Report& report);

}  // namespace postrider::bench
