#include "server/app/webhook_port.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "server/base/crash_point.h"
#include "server/base/status_macros.h"
#include "server/model/limits.h"

namespace postrider {

namespace {
constexpr auto kLeastTime = std::chrono::milliseconds(100);
}  // namespace

WebhookPort::WebhookPort(Store& store, const TenantDirectory& tenants, const Clock& clock,
                         Random& random, Metrics& metrics, Options options)
    : store_(store),
      tenants_(tenants),
      clock_(clock),
      random_(random),
      metrics_(metrics),
      options_(std::move(options)),
      inbox_(clock, metrics, {.name = "inbox", .writers = kInboxWriters, .max_queue = kInboxQueue},
             [this](std::span<const InboxRow> rows) { return Append(rows); }) {}

absl::StatusOr<std::vector<bool>> WebhookPort::Append(std::span<const InboxRow> rows) {
  if (!storing_) return absl::UnavailableError("the database was not reached yet");
  PR_RETURN_IF_ERROR(store_.AppendInbox(rows));
  CrashPoint("after_inbox");
  return std::vector<bool>(rows.size(), true);
}

absl::Status WebhookPort::Open() {
  if (server_ != nullptr) return absl::OkStatus();
  PR_ASSIGN_OR_RETURN(spool_, Spool::Open({.dir = options_.spool_dir}, metrics_));
  inbox_.Start();
  intake_ =
      std::make_unique<WebhookIntake>(store_, inbox_, spool_.get(), clock_, random_,
                                      WebhookIntake::Options{.on_stored = options_.on_stored});
  intake_->Start();
  server_ = std::make_unique<WebhookServer>(tenants_, *intake_, clock_, random_, metrics_,
                                            WebhookServer::Options{});
  return server_->Start(options_.listen.host, options_.listen.port);
}

void WebhookPort::StartStoring() {
  storing_ = true;
  intake_->StartUnspooling();
}

bool WebhookPort::Drain(std::chrono::nanoseconds at_most) {
  if (server_ == nullptr) return true;
  const MonotonicTime until = clock_.Now() + at_most;
  bool whole = server_->Drain(at_most);
  whole =
      inbox_.Drain(std::max<std::chrono::nanoseconds>(until - clock_.Now(), kLeastTime)) && whole;
  intake_->Drain();
  return whole;
}

}  // namespace postrider
