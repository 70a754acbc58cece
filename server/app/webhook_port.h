#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/app/config.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/store/group_commit.h"
#include "server/store/store.h"
#include "server/store/tenant_directory.h"
#include "server/webhook/spool.h"
#include "server/webhook/webhook_intake.h"
#include "server/webhook/webhook_server.h"

namespace postrider {

/// Step 8 put together: the webhook port, and what is behind it up to the inbox and the spool. It
/// may be open before the store can be written to; webhooks go to the spool until then.
class WebhookPort {
 public:
  static constexpr int kInboxWriters = 2;

  struct Options {
    ListenAddress listen;
    std::string spool_dir;
    /// Gets each row after it came to the inbox; must not block.
    std::function<void(InboxRow)> on_stored;
  };

  /// All must outlive it.
  WebhookPort(Store& store, const TenantDirectory& tenants, const Clock& clock, Random& random,
              Metrics& metrics, Options options);

  /// Takes webhooks of the tenants that are known. Repeating it does nothing. The message of an
  /// error is for the operator.
  absl::Status Open();
  /// Once it is open: from now on webhooks go to the inbox, those in the spool too.
  void StartStoring();
  /// Takes no more; what has begun is answered, and what is not in the inbox by then is spooled.
  /// False when the time was not enough for the inbox.
  bool Drain(std::chrono::nanoseconds at_most);

  int port() const { return server_->port(); }

 private:
  absl::StatusOr<std::vector<bool>> Append(std::span<const InboxRow> rows);

  Store& store_;
  const TenantDirectory& tenants_;
  const Clock& clock_;
  Random& random_;
  Metrics& metrics_;
  const Options options_;
  std::atomic<bool> storing_ = false;

  std::unique_ptr<Spool> spool_;
  InboxCommit inbox_;
  std::unique_ptr<WebhookIntake> intake_;
  std::unique_ptr<WebhookServer> server_;  ///< Null until it is open.
};

}  // namespace postrider
