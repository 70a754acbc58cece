#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/bench/process.h"
#include "tests/bench/report.h"

namespace postrider::bench {

/// What the figures of webhook intake under adversity need.
struct IntakeBench {
  std::function<void()> stop_postgres;
  std::function<void()> start_postgres;  ///< Where it was.
  std::function<GatewayProcess(std::vector<std::string>)> start_gateway;
  std::function<std::vector<std::string>(const std::string&)> sql;
};

/// How long acks take while kSlowSockets others send a byte now and then: directly, and when
/// haproxy is installed behind docker/haproxy.cfg (`config`).
void MeasureSlowSockets(const IntakeBench& bench, const std::string& config, Report& report);

/// How long acks take while Postgres is away for `seconds`, and that nothing is lost: what was
/// answered 200 is in the inbox once it is back.
void MeasureOutage(const IntakeBench& bench, double seconds, Report& report);

}  // namespace postrider::bench
