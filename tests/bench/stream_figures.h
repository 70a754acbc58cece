#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/bench/process.h"
#include "tests/bench/report.h"

namespace postrider::bench {

/// What the figures of streams need.
struct StreamBench {
  std::function<GatewayProcess(std::vector<std::string>)> start_gateway;
  std::function<std::vector<std::string>(const std::string&)> sql;
  /// `count` messages that never leave; their ids.
  std::function<std::vector<std::string>(const GatewayAddresses&, int count)> accept;
};

/// How late changes come by 200 streams with filters of their own, at 2,000 changes a second, and
/// how late beside a reader that stands still.
void MeasureFanout(const StreamBench& bench, Report& report);

/// How long 10,000 streams of twenty tenants on 100 connections take to resume, all at once, and
/// what memory is left of them.
void MeasureReconnect(const StreamBench& bench, Report& report);

}  // namespace postrider::bench
