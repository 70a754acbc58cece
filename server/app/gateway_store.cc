// How a gateway comes to its database, and what it does for webhooks while that is away.
#include <utility>

#include "server/app/bootstrap.h"
#include "server/app/gateway.h"
#include "server/base/backoff.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/compliance_limits.h"
#include "server/model/intake_limits.h"
#include "server/store/migrate.h"
#include "server/store/pg_ping.h"

namespace postrider {

namespace {

constexpr int kApplySessions = 3;  // applying, sweeping, parked
constexpr int kRefusalSessions = 1;
constexpr int kDispatchSessions = 5;  // choosing, recording, looking for news, closing, owning
constexpr int kCheckSessions = kCheckWorkers;
constexpr int kUpkeepSessions = 7;  // feed, tenants, breakers, upkeep, readiness, expiry, watches

/// The store says INVALID_ARGUMENT of data that it refuses; that is no fault of a setting.
absl::Status NotOfConfiguration(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? absl::InternalError(status.message()) : status;
}

}  // namespace

absl::Status Gateway::MakeStore(std::stop_token stop) {
  database_url_ = std::string(config_.database_url.Reveal());
  if (database_url_.empty()) {
    auto cluster = PrivateCluster::Start(config_.state_dir, {}, stop);
    PR_RETURN_IF_ERROR(NotOfConfiguration(cluster.status()));
    cluster_ = *std::move(cluster);
    database_url_ = cluster_->database_url();
    PR_RETURN_IF_ERROR(NotOfConfiguration(MigrateUp(database_url_, clock_).status()));
  } else {
    keys_ = std::make_unique<WebhookKeysFile>(StrCat(config_.state_dir, "/webhook.keys"),
                                              database_url_);
  }
  const int sessions = config_.group_commit_writers + config_.read_workers + kApplySessions +
                       kRefusalSessions + WebhookPort::kInboxWriters + kDispatchSessions +
                       kCheckSessions + kUpkeepSessions;
  store_ = std::make_unique<PgStore>(
      clock_, random_,
      PgStore::Options{.pool = {.conninfo = database_url_, .max_sessions = sessions},
                       .on_events = [this] { feed_->Nudge(); }});
  hub_ = std::make_unique<Hub>(metrics_);
  feed_ = std::make_unique<EventFeed>(clock_, metrics_, *store_, *hub_);
  tenants_ = std::make_unique<TenantDirectory>(*store_, [this](const TenantSnapshot& read) {
    if (keys_ != nullptr) keys_->Keep(read);
  });
  inbox_ = std::make_unique<InboxProcessor>(
      *store_, clock_, random_, metrics_,
      InboxProcessor::Options{.tenants = [this] { return OwnedTenants(); }});
  webhooks_ = std::make_unique<WebhookPort>(
      *store_, *tenants_, clock_, random_, metrics_,
      WebhookPort::Options{.listen = config_.webhook_listen,
                           .spool_dir = StrCat(config_.state_dir, "/spool"),
                           .on_stored = [this](InboxRow row) {
                             // When its memory is full the row is left to the sweep.
                             static_cast<void>(inbox_->Offer(std::move(row)));
                           }});
  return absl::OkStatus();
}

absl::Status Gateway::OpenEarly() {
  if (keys_ == nullptr || !IsAway(database_url_)) return absl::OkStatus();
  absl::StatusOr<std::vector<TenantRow>> known = keys_->Read();
  if (!known.ok()) {
    WriteLog(absl::IsNotFound(known.status()) ? LogLevel::kInfo : LogLevel::kWarning,
             "webhooks are taken when the database is reached, not before",
             {{"reason", ToStd(known.status().message())}});
    return absl::OkStatus();
  }
  const bool has_default = config_.sandbox.enabled || UsesDefaultTenant();
  for (TenantRow& tenant : *known) {
    if (has_default && tenant.name == kDefaultTenant) SetWebhooks(tenant, config_);
  }
  tenants_->Assume(*std::move(known));
  early_ = true;
  PR_RETURN_IF_ERROR(StartOps());
  return webhooks_->Open();
}

absl::Status Gateway::Reach(std::stop_token stop, const std::function<absl::Status()>& part) {
  RepeatedFailure failures;
  for (int tries = 1;; ++tries) {
    const absl::Status reached = NotOfConfiguration(part());
    if (reached.ok()) LogWorksAgain(failures, "the database is there");
    if (!early_ || !absl::IsUnavailable(reached)) return reached;
    LogFailure(failures, "waits for the database; webhooks go to the spool meanwhile", reached);
    if (WaitOrStop(stop, Backoff(tries, kReachFirst, kReachLongest, random_))) return reached;
  }
}

absl::Status Gateway::StartStore() {
  if (cluster_ == nullptr) PR_RETURN_IF_ERROR(VerifySchema(database_url_));
  return store_->Prepare();
}

}  // namespace postrider
