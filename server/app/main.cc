#include <cstdio>
#include <string>
#include <vector>

#include "server/app/commands.h"

namespace postrider {
namespace {

constexpr const char* kUsage =
    R"(postriderd, a gRPC gateway in front of Genesys Cloud's agentless SMS

  postriderd serve [OPTIONS]                start a gateway; --help lists the options
  postriderd serve --sandbox                the same, with a Genesys Cloud to try against
  postriderd migrate up|status|verify       bring a database's schema up to this version
  postriderd config print-default           a configuration file with every option at its default
  postriderd tenant list|put [OPTIONS]      who sends: Genesys organisation, rate, senders
  postriderd token create [OPTIONS]         a new API token for a caller, shown once
  postriderd audit grant|revoke|list        which database roles may read whose record
  postriderd audit verify [--tenant NAME]   whether what is on record is as it was recorded
  postriderd after-restore --reason WHY     before a gateway starts on a restored backup
  postriderd version

Exit status: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration,
128 and the signal's number when one ended the start.
)";

int Run(const std::vector<std::string>& arguments) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1),
                                      arguments.end());
  if (command == "serve") return RunServe(rest);
  if (command == "migrate") return RunMigrate(rest);
  if (command == "config") return RunConfig(rest);
  if (command == "tenant") return RunTenant(rest);
  if (command == "token") return RunToken(rest);
  if (command == "audit") return RunAudit(rest);
  if (command == "after-restore") return RunAfterRestore(rest);
  if (command == "version" || command == "--version") {
    std::puts("postriderd " POSTRIDER_VERSION);
    return 0;
  }
  const bool asked = command == "help" || command == "--help" || command == "-h";
  std::fputs(kUsage, asked ? stdout : stderr);
  return asked ? 0 : 2;
}

}  // namespace
}  // namespace postrider

int main(int argc, char** argv) {
  return postrider::Run(std::vector<std::string>(argv + 1, argv + argc));
}
