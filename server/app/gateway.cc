#include "server/app/gateway.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <unistd.h>
#include <utility>

#include "server/app/bootstrap.h"
#include "server/app/sandbox_options.h"
#include "server/base/crash_point.h"
#include "server/base/log.h"
#include "server/base/private_file.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_refusals.h"
#include "server/store/tenant_quiet.h"

namespace postrider {

namespace {

constexpr auto kFeedRetry = std::chrono::milliseconds(200);
constexpr auto kLastWords = std::chrono::milliseconds(500);  // the ends of calls, on their way out

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) return "postriderd";
  return StrCat(name, "/", getpid());
}

std::string AddressOf(const ListenAddress& listen, int port) {
  return ListenAddress{listen.host, port}.Text();
}

GrpcServer::Options GrpcOptions(const Config& config, const ListenAddress& listen,
                                const std::string& service) {
  return {.address = listen.Text(),
          .certificate_file = config.tls_cert_file,
          .key_file = config.tls_key_file,
          .service = service};
}

}  // namespace

Gateway::Gateway(Config config) : config_(std::move(config)) {}

Gateway::~Gateway() = default;

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(Config config, std::stop_token stop) {
  std::unique_ptr<Gateway> gateway(new Gateway(std::move(config)));
  const std::function<absl::Status()> parts[] = {
      [&] { return gateway->TakeStateDir(); },
      [&] { return gateway->MakeStore(stop); },
      [&] { return gateway->OpenEarly(); },
      [&] { return gateway->Reach(stop, [&] { return gateway->StartStore(); }); },
      [&] { return gateway->StartSandbox(); },
      [&] { return gateway->Reach(stop, [&] { return gateway->StartTenants(); }); },
      [&] { return gateway->StartWorkers(); },
      [&] { return gateway->StartReceipts(); },
      [&] { return gateway->StartCalls(); },
      [&] { return gateway->StartAdmin(); },
      [&] { return gateway->StartOps(); },
  };
  for (const auto& start : parts) {
    const absl::Status started = start();
    if (started.ok() && !stop.stop_requested()) continue;
    gateway->GiveUp();
    // What was interrupted tells its own story; the signal is the whole of it.
    return stop.stop_requested() ? absl::CancelledError("stopped before it was ready") : started;
  }
  PR_RETURN_IF_ERROR(gateway->WriteAddresses());
  gateway->grpc_->SetServing(true);
  gateway->admin_grpc_->SetServing(true);
  gateway->ready_ = true;
  return gateway;
}

absl::Status Gateway::TakeStateDir() {
  // Another gateway in the same directory would overwrite the addresses and the token.
  std::error_code error;
  if (std::filesystem::create_directories(config_.state_dir, error)) {
    std::filesystem::permissions(config_.state_dir, std::filesystem::perms::owner_all, error);
  }
  if (error) {
    return absl::FailedPreconditionError(
        StrCat("cannot make the state directory ", config_.state_dir, ": ", error.message()));
  }
  absl::StatusOr<FileLock> lock = FileLock::TryAcquire(StrCat(config_.state_dir, "/lock"));
  if (!lock.ok()) {
    return absl::FailedPreconditionError(StrCat("another gateway uses the state directory ",
                                                config_.state_dir, " (",
                                                ToStd(lock.status().message()), ")"));
  }
  state_lock_.emplace(*std::move(lock));
  return absl::OkStatus();
}

absl::Status Gateway::StartSandbox() {
  if (!config_.sandbox.enabled) return absl::OkStatus();
  PR_ASSIGN_OR_RETURN(Sandbox::Options options, SandboxOptionsOf(config_));
  config_.genesys.client_id = kSandboxClientId;
  config_.genesys.client_secret_file = StrCat(config_.state_dir, "/sandbox.secret");
  PR_RETURN_IF_ERROR(WritePrivateFile(config_.genesys.client_secret_file,
                                      StrCat(options.clients[0].client_secret.Reveal(), "\n")));
  sandbox_ = std::make_unique<Sandbox>(std::move(options), clock_, random_, metrics_);
  PR_RETURN_IF_ERROR(sandbox_->Start());
  config_.genesys.base_url = sandbox_->base_url();
  config_.genesys.token_url = sandbox_->token_url();
  return absl::OkStatus();
}

bool Gateway::UsesDefaultTenant() const {
  return !config_.genesys.base_url.empty() || !config_.genesys.region.empty();
}

absl::Status Gateway::StartTenants() {
  if (UsesDefaultTenant()) {
    PR_ASSIGN_OR_RETURN(default_tenant_, EnsureDefaultTenant(*store_, random_, clock_, config_));
    PR_RETURN_IF_ERROR(ReadSecretFile(default_tenant_.client_secret_file).status());
    if (!default_tenant_.webhook_secret_file.empty()) {
      PR_RETURN_IF_ERROR(ReadWebhookSecrets(default_tenant_.webhook_secret_file).status());
    }
    PR_RETURN_IF_ERROR(EnsureOperatorToken(*store_, random_, clock_, config_));
  }
  PR_RETURN_IF_ERROR(tenants_->Refresh());
  breakers_ = std::make_unique<BreakerDirectory>(*store_);
  PR_RETURN_IF_ERROR(breakers_->Refresh());
  accounts_ = std::make_unique<Accounts>(*tenants_);
  if (tenants_->Current()->tenants().empty()) {
    PR_LOG(kWarning, "there is no tenant yet: make one with `postriderd tenant put`");
  }
  early_ = false;
  return absl::OkStatus();
}

absl::Status Gateway::StartWorkers() {
  replica_name_ = config_.replica_name.empty() ? HostName() : config_.replica_name;
  providers_ = std::make_unique<ProfileFactory>(clock_, metrics_);
  slots_ = std::make_unique<SlotOwner>(*store_, clock_, random_, metrics_,
                                       SlotOwner::Options{.name = replica_name_});
  dispatcher_ = std::make_unique<Dispatcher>(
      *store_, *providers_, *slots_, clock_, random_, metrics_,
      Dispatcher::Options{
          .posters_min = config_.posters_min,
          .posters_max = config_.posters_max,
          .doubt = config_.doubt,
          .settings = [this](TenantId tenant) { return accounts_->SettingsOf(tenant); },
          .breakers = {.open_first = config_.breaker_open_first,
                       .open_longest = config_.breaker_open_longest},
          .next_allowed = [this](const MessageRequest& request,
                                 WallTime at) -> std::optional<WallTime> {
            const std::shared_ptr<const TenantSnapshot> snapshot = tenants_->Current();
            const TenantRow* const tenant = snapshot->Find(request.tenant_id);
            return tenant == nullptr ? at : NextAllowedOf(*tenant, request, at);
          }});
  sweeps_ = std::make_unique<Sweeps>(*store_, *slots_, metrics_);
  hub_->Start();
  feed_worker_ = std::make_unique<Worker>("feed", [this](std::stop_token stop) { StepFeed(stop); });
  tenants_->Start();
  breakers_->Start();
  slots_->Start();
  dispatcher_->Start();
  sweeps_->Start();
  upkeep_ = std::make_unique<Upkeep>(
      *store_, cluster_.get(), [this] { return OwnedTenants(); }, config_.keep, clock_, metrics_);
  upkeep_->Start();
  chain_pool_ = std::make_unique<PgPool>(
      clock_, random_,
      PgPool::Options{
          .conninfo = database_url_, .max_sessions = 1, .admit = [this](PgTransaction& reads) {
            return store_->seen().Admit(reads);
          }});
  sealer_ = std::make_unique<ChainSealer>(*chain_pool_, clock_, metrics_);
  sealer_->Start();
  return absl::OkStatus();
}

void Gateway::StepFeed(std::stop_token stop) {
  const absl::StatusOr<std::size_t> published = feed_->Step(stop);
  if (published.ok()) {
    LogWorksAgain(feed_failures_, "streams go on");
  } else {
    LogFailure(feed_failures_, "streams wait for the database", published.status());
    WaitOrStop(stop, kFeedRetry);
  }
}

std::vector<TenantId> Gateway::OwnedTenants() const {
  std::vector<TenantId> owned;
  const std::shared_ptr<const Ownership> ownership = slots_->Current();
  const std::shared_ptr<const TenantSnapshot> snapshot = tenants_->Current();
  for (const TenantRow& tenant : snapshot->tenants()) {
    if (ownership->Find(SlotOf(tenant.tenant_id)) != nullptr) owned.push_back(tenant.tenant_id);
  }
  return owned;
}

absl::Status Gateway::StartReceipts() {
  inbox_->Start();
  PR_RETURN_IF_ERROR(webhooks_->Open());
  webhooks_->StartStoring();
  if (sandbox_ == nullptr) return absl::OkStatus();
  return sandbox_->SetWebhook(config_.genesys.client_id, webhook_url());
}

absl::Status Gateway::StartCalls() {
  accept_commit_ = std::make_unique<AcceptCommit>(
      clock_, metrics_,
      AcceptCommit::Options{.name = "accept", .writers = config_.group_commit_writers},
      [this](std::span<const NewMessage> batch) -> absl::StatusOr<std::vector<Acceptance>> {
        CrashPoint("before_accept");
        absl::StatusOr<std::vector<Acceptance>> verdicts = store_->Accept(batch);
        if (verdicts.ok()) CrashPoint("after_accept");
        return verdicts;
      });
  accept_commit_->Start();
  refusal_commit_ = std::make_unique<RefusalCommit>(
      clock_, metrics_, RefusalCommit::Options{.name = "refusals", .writers = 1},
      [this](std::span<const RefusalRow> batch) -> absl::StatusOr<std::vector<bool>> {
        PR_RETURN_IF_ERROR(PgRefusalStore(store_->pool()).RecordRefusals(batch));
        return std::vector<bool>(batch.size(), true);
      });
  refusal_commit_->Start();
  reads_ = std::make_unique<ReadPool>(metrics_, ReadPool::Options{.workers = config_.read_workers});
  reads_->Start();
  guard_ = std::make_unique<Guard>(clock_, *store_, *reads_);
  compliance_ =
      std::make_unique<Compliance>(store_->pool(), *providers_, *accounts_, clock_, metrics_);
  compliance_->check().Start();
  messages_ = std::make_unique<MessageService>(MessageService::Parts{
      .clock = clock_,
      .random = random_,
      .metrics = metrics_,
      .store = *store_,
      .accept = *accept_commit_,
      .refusals = *refusal_commit_,
      .tenants = *tenants_,
      .guard = *guard_,
      .reads = *reads_,
      .hub = *hub_,
      .on_accepted = [this](const Flow& flow) { dispatcher_->Wake(flow); },
      .lanes = [this] { return dispatcher_->Look(); },
      .next_canary = [this](TenantId tenant) { return breakers_->NextCanary(tenant); },
      .content = &compliance_->check()});
  grpc_ = std::make_unique<GrpcServer>(
      GrpcOptions(config_, config_.listen, v1::MessageService::service_full_name()),
      std::vector<grpc::Service*>{messages_.get()});
  PR_ASSIGN_OR_RETURN(grpc_port_, grpc_->Start());
  return absl::OkStatus();
}

absl::Status Gateway::StartAdmin() {
  setups_ = std::make_unique<PgSetupStore>(store_->pool());
  admin_ = std::make_unique<AdminService>(
      AdminService::Parts{.clock = clock_,
                          .random = random_,
                          .metrics = metrics_,
                          .store = *store_,
                          .setups = *setups_,
                          .tenants = *tenants_,
                          .guard = *guard_,
                          .reads = *reads_,
                          .replica_name = replica_name_,
                          .lanes = [this] { return dispatcher_->Look(); },
                          .on_queued = [this](const Flow& flow) { dispatcher_->Wake(flow); }});
  admin_->Start();
  admin_grpc_ = std::make_unique<GrpcServer>(
      GrpcOptions(config_, config_.admin_listen, v1::AdminService::service_full_name()),
      std::vector<grpc::Service*>{admin_.get()});
  PR_ASSIGN_OR_RETURN(admin_port_, admin_grpc_->Start());
  return absl::OkStatus();
}

absl::Status Gateway::StartOps() {
  if (ops_ != nullptr) return absl::OkStatus();  // it was early
  const auto is_ready = [this] {
    if (early_) return absl::UnavailableError("waits for the database to start; takes webhooks");
    return ready_ ? absl::OkStatus() : absl::UnavailableError("starting or stopping");
  };
  const auto is_fed = [this] {
    return hub_->Latest().number > 0 ? absl::OkStatus()
                                     : absl::UnavailableError("no events read yet");
  };
  ops_ = std::make_unique<OpsServer>(
      clock_, metrics_,
      std::vector<OpsServer::Check>{{"gateway", is_ready},
                                    {"store", [this] { return store_->pool().Ping(); }},
                                    {"streams", is_fed}});
  return ops_->Start(config_.ops_listen.host, config_.ops_listen.port);
}

void Gateway::GiveUp() {
  if (webhooks_) webhooks_->Drain(config_.drain_deadline);
  if (ops_) ops_->Drain(1s);
}

absl::Status Gateway::Drain() {
  const MonotonicTime until = clock_.Now() + config_.drain_deadline;
  const auto left = [&] { return std::max<std::chrono::nanoseconds>(until - clock_.Now(), 100ms); };
  ready_ = false;
  grpc_->SetServing(false);
  admin_grpc_->SetServing(false);
  messages_->RefuseNewCalls();
  admin_->RefuseNewCalls();
  sweeps_->Stop();
  bool whole = webhooks_->Drain(left());
  whole = dispatcher_->Drain(left()) && whole;
  whole = inbox_->Drain(left()) && whole;
  compliance_->check().Drain(left());  // who is told to come again has lost nothing
  whole = accept_commit_->Drain(left()) && whole;
  whole = refusal_commit_->Drain(left()) && whole;
  // Streams end with what the drain itself changed.
  feed_worker_->Stop();
  if (absl::Status told = feed_->Finish(); !told.ok()) {
    PR_LOG(kWarning, "streams end before the drain's own changes; their tokens go on from there",
           {"error", ToStd(told.message())});
  }
  messages_->EndStreams();
  admin_->EndStreams();
  // A reader that takes nothing more is cut; it goes on with its last token.
  static_cast<void>(messages_->AwaitCallsEnd(left()));
  static_cast<void>(admin_->AwaitCallsEnd(left()));
  grpc_->Drain(kLastWords);
  admin_grpc_->Drain(kLastWords);
  reads_->Drain();
  if (absl::Status freed = slots_->Drain(); !freed.ok()) {
    PR_LOG(kWarning, "slots are left to expire", {"error", ToStd(freed.message())});
  }
  upkeep_->Stop();
  sealer_->Stop();
  tenants_->Stop();
  breakers_->Stop();
  if (sandbox_) sandbox_->Drain();
  ops_->Drain(1s);
  unlink(StrCat(config_.state_dir, "/addresses").c_str());
  if (cluster_) PR_RETURN_IF_ERROR(cluster_->Stop());
  if (whole) return absl::OkStatus();
  return absl::DeadlineExceededError(
      "stopped at the drain deadline; what was left is durable and goes on at the next start");
}

absl::Status Gateway::WriteAddresses() const {
  return WritePrivateFile(
      StrCat(config_.state_dir, "/addresses"),
      StrCat("pid=", getpid(), "\ngrpc=", grpc_address(), "\nadmin=", admin_address(),
             "\nwebhook=", webhook_url(), "\nops=", ops_address(), "\nsandbox=", sandbox_url(),
             "\ndatabase=", database_url_, "\n"));
}

std::string Gateway::grpc_address() const { return AddressOf(config_.listen, grpc_port_); }

std::string Gateway::admin_address() const { return AddressOf(config_.admin_listen, admin_port_); }

std::string Gateway::ops_address() const { return AddressOf(config_.ops_listen, ops_->port()); }

std::string Gateway::sandbox_url() const { return sandbox_ ? sandbox_->base_url() : ""; }

std::string Gateway::webhook_url() const {
  const std::string base = StrCat("http://", AddressOf(config_.webhook_listen, webhooks_->port()));
  if (!UsesDefaultTenant()) return base;
  return StrCat(base, "/webhooks/", default_tenant_.profile, "/", default_tenant_.webhook_key);
}

}  // namespace postrider
