#pragma once

#include <string>
#include <vector>

namespace postrider {

// The subcommands of postriderd. Each gets what follows its name, prints for people, and returns
// the process's exit status: 0, 1 (it failed: one line on stderr says why), 2 (wrong usage) or
// kExitConfig.

int RunServe(const std::vector<std::string>& flags);
/// migrate up|status|verify, tenant list|put, token create, audit grant|revoke|list: on the
/// database of --database-url, or of the running gateway of --state-dir, configured as for `serve`.
int RunMigrate(const std::vector<std::string>& arguments);
int RunTenant(const std::vector<std::string>& arguments);
int RunToken(const std::vector<std::string>& arguments);
int RunAudit(const std::vector<std::string>& arguments);
/// after-restore: on the database of --database-url, or on the one in --state-dir, which it starts
/// and stops.
int RunAfterRestore(const std::vector<std::string>& arguments);
/// config print-default
int RunConfig(const std::vector<std::string>& arguments);

}  // namespace postrider
