#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/bench/grpc_load.h"
#include "tests/bench/process.h"
#include "tests/bench/report.h"

namespace postrider::bench {

/// Where what a tenant may send, and to whom, is measured.
struct ComplianceBench {
  std::string database_url;
  std::function<GatewayProcess(std::vector<std::string> flags)> start_gateway;
  /// Of messages of this campaign; empty: of none.
  std::function<SendLoad(const GatewayAddresses&, const char* prefix, std::string campaign_id)>
      load;
};

/// What a tenant's setup costs SendMessage, in interleaved pairs: a template, forbidden words,
/// listed links, caps, an opt-out text, against the same tenant without any. Then an opt-out while
/// 100,000 messages to the recipient are queued: how long it takes to commit, until all are ended,
/// and how fast others' messages leave meanwhile.
void MeasureCompliance(const ComplianceBench& bench, Report& report);

}  // namespace postrider::bench
