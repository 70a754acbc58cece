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

/// What a tenant's setup costs SendMessage, each against the rounds before and after it without
/// any: a template, forbidden words, listed links, an opt-out text; two daily caps beside them; and
/// quiet hours that hold each message.
void MeasureRules(const ComplianceBench& bench, Report& report);

/// An opt-out while 100,000 messages to the recipient are queued: how long it takes to commit,
/// until all are ended, and how fast others' messages leave meanwhile.
void MeasureOptOut(const ComplianceBench& bench, Report& report);

}  // namespace postrider::bench
