#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/api/admin_service.h"
#include "server/api/authenticate.h"
#include "server/api/grpc_server.h"
#include "server/api/message_service.h"
#include "server/api/read_pool.h"
#include "server/app/accounts.h"
#include "server/app/compliance.h"
#include "server/app/config.h"
#include "server/app/ops_server.h"
#include "server/app/upkeep.h"
#include "server/app/webhook_port.h"
#include "server/base/clock.h"
#include "server/base/file_lock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/dispatch/dispatcher.h"
#include "server/dispatch/slot_owner.h"
#include "server/dispatch/sweeps.h"
#include "server/fanout/hub.h"
#include "server/provider/profile_factory.h"
#include "server/sandbox/sandbox.h"
#include "server/store/audit_chain.h"
#include "server/store/breaker_directory.h"
#include "server/store/event_feed.h"
#include "server/store/group_commit.h"
#include "server/store/pg_setup.h"
#include "server/store/pg_store.h"
#include "server/store/private_cluster.h"
#include "server/store/tenant_directory.h"
#include "server/webhook/inbox_processor.h"
#include "server/webhook/webhook_keys_file.h"

namespace postrider {

/// A whole gateway: owns every part, in the order in which they depend on one another, which is
/// the order of starting. Draining is its own order (Drain). The only place that knows the
/// configuration; parts get plain arguments.
class Gateway {
 public:
  /// Starts everything and returns when calls are taken; while a given database is away, webhooks
  /// are taken meanwhile when an earlier start has left their keys. The message of an error is one
  /// line for the operator: what could not be done, and what to do. INVALID_ARGUMENT: a file that
  /// the configuration names holds something else; CANCELLED: `stop`, and all has ended.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(Config config, std::stop_token stop);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Not ready, no new calls, webhooks stop, the dispatcher finishes, the inbox finishes, group
  /// commit flushes, the feed tells the rest, streams are closed with their last token, gRPC,
  /// slots, Postgres. kDeadlineExceeded when something was left after the drain deadline; nothing
  /// accepted is lost by that. Once.
  absl::Status Drain();

  std::string grpc_address() const;
  std::string admin_address() const;
  std::string webhook_url() const;  ///< Of the default tenant; empty when there is none.
  std::string ops_address() const;
  std::string sandbox_url() const;  ///< Empty without the sandbox.

 private:
  explicit Gateway(Config config);

  /// In the order of Start().
  absl::Status TakeStateDir();
  absl::Status MakeStore(std::stop_token stop);
  absl::Status OpenEarly();
  absl::Status StartStore();
  absl::Status StartSandbox();
  absl::Status StartTenants();
  absl::Status StartWorkers();
  absl::Status StartReceipts();
  absl::Status StartCalls();
  absl::Status StartAdmin();
  absl::Status StartOps();
  absl::Status WriteAddresses() const;
  /// Does `part`, which needs the database; again and again while that is away and webhooks are
  /// taken early.
  absl::Status Reach(std::stop_token stop, const std::function<absl::Status()>& part);
  /// Ends a start that failed: what has come to the webhook port is answered.
  void GiveUp();
  bool UsesDefaultTenant() const;
  std::vector<TenantId> OwnedTenants() const;
  void StepFeed(std::stop_token stop);

  Config config_;
  SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  std::string database_url_;
  std::string replica_name_;
  TenantRow default_tenant_;
  std::atomic<bool> ready_ = false;
  std::atomic<bool> early_ = false;  ///< Webhooks are taken, and the database was not reached yet.

  std::optional<FileLock> state_lock_;
  std::unique_ptr<PrivateCluster> cluster_;
  std::unique_ptr<PgStore> store_;
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<WebhookKeysFile> keys_;  ///< Null with a private Postgres.
  std::unique_ptr<TenantDirectory> tenants_;
  std::unique_ptr<BreakerDirectory> breakers_;
  std::unique_ptr<Accounts> accounts_;
  std::unique_ptr<ProfileFactory> providers_;
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<EventFeed> feed_;
  std::unique_ptr<SlotOwner> slots_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Sweeps> sweeps_;
  std::unique_ptr<Upkeep> upkeep_;
  std::unique_ptr<PgPool> chain_pool_;  ///< Of sealer_ alone.
  std::unique_ptr<ChainSealer> sealer_;
  std::unique_ptr<InboxProcessor> inbox_;
  std::unique_ptr<WebhookPort> webhooks_;
  std::unique_ptr<RefusalCommit> refusal_commit_;  ///< Outlives accept_commit_, which may refuse.
  std::unique_ptr<SetupStore> setups_;
  std::unique_ptr<Compliance> compliance_;
  std::unique_ptr<AcceptCommit> accept_commit_;
  std::unique_ptr<ReadPool> reads_;
  std::unique_ptr<Guard> guard_;
  std::unique_ptr<MessageService> messages_;
  std::unique_ptr<GrpcServer> grpc_;
  int grpc_port_ = 0;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<GrpcServer> admin_grpc_;
  int admin_port_ = 0;
  std::unique_ptr<OpsServer> ops_;

  RepeatedFailure feed_failures_;  ///< Of feed_worker_.
  std::unique_ptr<Worker> feed_worker_;
};

}  // namespace postrider
