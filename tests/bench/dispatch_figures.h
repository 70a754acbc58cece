#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/store/tenants.h"
#include "tests/bench/grpc_load.h"
#include "tests/bench/process.h"
#include "tests/bench/report.h"

namespace postrider::bench {

/// What the figures of dispatch need of the run that they are part of.
struct DispatchBench {
  std::string database_url;
  std::string ledger_file;  ///< Of the sandbox; written anew by each gateway that gets its name.
  std::function<GatewayProcess(std::vector<std::string> flags)> start_gateway;
  std::function<SendLoad(const GatewayAddresses&, const char* prefix)> load;
};

/// From the queue to the POST: how many a second against a sandbox that takes 20 ms to answer, how
/// long from the acceptance to the POST at half of that, what a foreign write transaction that is
/// held open changes, and how much of a licensed rate is used. Adds the figures to `report`.
void MeasureDispatch(const DispatchBench& bench, Report& report);
/// Of these only how long from the acceptance to the POST.
void MeasurePostStart(const DispatchBench& bench, Report& report);

}  // namespace postrider::bench
