#pragma once

#include <string>

namespace postrider {

/// True when there is no server at `conninfo`, or none that takes connections yet: it is starting,
/// stopping or recovering. False for what waiting does not mend, such as a wrong password or the
/// name of a database that is not there. Blocks, for two seconds a host at most.
/// Source: PostgreSQL manual, "Database Connection Control Functions", PQpingParams.
bool IsAway(const std::string& conninfo);

/// `conninfo` with a limit on connecting and with dead peers noticed. Keys that the operator set
/// stay. Pure.
std::string WithNetworkLimits(const std::string& conninfo);

}  // namespace postrider
