#include <chrono>
#include <cstdio>
#include <malloc.h>
#include <signal.h>
#include <string>
#include <sys/resource.h>
#include <utility>
#include <vector>

#include "server/app/commands.h"
#include "server/app/config.h"
#include "server/app/gateway.h"
#include "server/app/option_table.h"
#include "server/app/stop_signals.h"
#include "server/base/log.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

/// For what comes after the drain: slots, connections and the private Postgres.
constexpr std::chrono::seconds kGrace{5};

/// gRPC never accepts again after it once ran out of descriptors.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Fail(const absl::Status& status, int exit_status) {
  FlushLog();
  std::fprintf(stderr, "postriderd: %s\n", std::string(status.message()).c_str());
  return exit_status;
}

/// What shells show of a program that a signal ended.
int ExitOf(int signal_number) { return 128 + signal_number; }
int ExitOf(const absl::Status& status) { return absl::IsInvalidArgument(status) ? kExitConfig : 1; }

void PrintWelcome(const Gateway& gateway, const Config& config) {
  PR_LOG(kInfo, "postriderd " POSTRIDER_VERSION " is ready", {"grpc", gateway.grpc_address()},
         {"admin", gateway.admin_address()}, {"ops", gateway.ops_address()},
         {"state_dir", config.state_dir});
  if (config.sandbox.enabled) {
    PR_LOG(kInfo, "the sandbox stands in for Genesys Cloud: nothing leaves this machine",
           {"page", StrCat(gateway.sandbox_url(), "/sandbox")});
  }
}

}  // namespace

int RunServe(const std::vector<std::string>& flags) {
  if (WantsHelp(flags)) {
    std::fputs(OptionsHelp().c_str(), stdout);
    return 0;
  }
  absl::StatusOr<Config> config = LoadConfig(SourcesOf(flags));
  if (!config.ok()) return Fail(config.status(), kExitConfig);
  if (absl::Status fit = ValidateForServe(*config); !fit.ok()) return Fail(fit, kExitConfig);

  // Few arenas: many workers would otherwise each keep one, and memory with it.
  mallopt(M_ARENA_MAX, 4);
  SetUpLog(config->log_format, config->log_level);
  RaiseFileLimit();
  signal(SIGPIPE, SIG_IGN);
  const StopSignals signals(config->drain_deadline + kGrace);

  absl::StatusOr<std::unique_ptr<Gateway>> gateway = Gateway::Start(*config, signals.Asked());
  if (absl::IsCancelled(gateway.status())) return Fail(gateway.status(), ExitOf(signals.number()));
  if (!gateway.ok()) return Fail(gateway.status(), ExitOf(gateway.status()));
  PrintWelcome(**gateway, *config);

  signals.Await();
  PR_LOG(kInfo, "stopping; a second signal ends it at once");
  const absl::Status drained = (*gateway)->Drain();
  if (!drained.ok()) return Fail(drained, 1);
  PR_LOG(kInfo, "stopped");
  FlushLog();
  return 0;
}

}  // namespace postrider
