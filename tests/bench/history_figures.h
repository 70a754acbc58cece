#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/bench/grpc_load.h"
#include "tests/bench/process.h"
#include "tests/bench/report.h"

namespace postrider::bench {

/// Two databases that differ in their past.
struct HistoryBench {
  std::string young_url;
  std::string aged_url;  ///< Of another server, on which nothing is yet but the schema.
  std::function<GatewayProcess(const std::string& database_url, std::vector<std::string> flags)>
      start_gateway;
  std::function<SendLoad(const GatewayAddresses&, const char* prefix)> load;
};

/// What 10,000,000 rows of messages, attempts, events, webhooks and receipts in a database change:
/// acceptance and application of receipts beside one without them, in interleaved pairs.
void MeasureHistory(const HistoryBench& bench, Report& report);

}  // namespace postrider::bench
