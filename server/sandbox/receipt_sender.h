#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/secret.h"
#include "server/base/worker.h"
#include "server/http/client.h"
#include "server/sandbox/magic_numbers.h"
#include "server/sandbox/posts.h"

namespace postrider {

/// A message that the sandbox took: what its receipts say.
struct SandboxMessage {
  std::string client_id;
  SandboxPost post;
  std::string provider_message_id;
  std::string provider_conversation_id;
  WallTime accepted_at{};
  const MagicNumber* row = nullptr;
};

/// Sends receipts to each client's webhook, in time. An answer other than 2xx, or none within
/// 2 s, is tried again after 1, 10, 29 and 80 minutes, then given up: the guide's rule.
///
/// Holds at most `queued` receipts; what comes then is dropped and counted in
/// postrider_sandbox_receipts_total{result="dropped"}. Safe from any thread.
class ReceiptSender {
 public:
  struct Options {
    /// From the POST to queued, to sent, and to the last receipt.
    std::array<std::chrono::milliseconds, 3> after = {std::chrono::milliseconds(50),
                                                      std::chrono::milliseconds(150),
                                                      std::chrono::milliseconds(400)};
    double retry_scale = 1;  ///< Of the minutes above: 0.001 makes 29 minutes 1.74 s. >= 0.
    int workers = 32;        ///< Receipts under way at one time.
    std::size_t queued = 200'000;
    std::string ca_file = {};  ///< PEM, for webhooks by https; empty: the system's.
    /// Signs each webhook as Open Messaging does, and says when it did; empty: does not.
    Secret secret = {};
  };
  struct Totals {
    std::int64_t delivered = 0;
    std::int64_t failed_tries = 0;
    std::int64_t given_up = 0;
    std::int64_t dropped = 0;
    std::int64_t waiting = 0;  ///< Now.
  };

  /// `clock` and `metrics` must outlive the sender.
  ReceiptSender(Options options, const Clock& clock, Metrics& metrics);
  ~ReceiptSender();
  ReceiptSender(const ReceiptSender&) = delete;
  ReceiptSender& operator=(const ReceiptSender&) = delete;

  void Start();
  /// INVALID_ARGUMENT when `url` cannot be posted to.
  absl::Status SetWebhook(const std::string& client_id, const std::string& url);
  /// Plans the receipts that `message`'s row asks for. With kBeforeAnswer each has been tried
  /// once, on the calling worker, when this returns; otherwise it does not block.
  void Plan(const SandboxMessage& message);
  Totals totals() const;
  /// Ends the workers; receipts that wait are dropped.
  void Stop();

  /// A worker's connections to the webhooks, by their origin. One worker at a time.
  using Connections = std::map<std::string, std::unique_ptr<HttpClient>>;
  /// Waits up to a second for a receipt to be due, and sends it over `connections`.
  void Step(Connections& connections, std::stop_token stop);

 private:
  struct Webhook {
    std::string origin;
    std::string path;
  };
  struct Job {
    MonotonicTime due{};
    std::int64_t order = 0;  ///< First in, first out among those due at the same time.
    int tries = 0;
    std::string_view status;
    std::chrono::nanoseconds offset{};  ///< The receipt's time, from the message's acceptance.
    std::shared_ptr<const SandboxMessage> message;
  };
  /// For a heap with the earliest on top.
  static bool Later(const Job& a, const Job& b) {
    return a.due != b.due ? a.due > b.due : a.order > b.order;
  }

  std::vector<Job> JobsOf(const std::shared_ptr<const SandboxMessage>& message) const;
  void Push(Job job);
  void Try(Job job, Connections& connections);
  HttpHeaders SignatureHeaders(const std::string& body) const;
  bool Post(const Job& job, Connections& connections);

  const Options options_;
  const Clock& clock_;
  Counter& delivered_;
  Counter& failed_;
  Counter& given_up_;
  Counter& dropped_;

  mutable Mutex mu_;
  CondVar changed_;
  std::vector<Job> heap_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Webhook> webhooks_ ABSL_GUARDED_BY(mu_);  ///< One a configured client.
  Totals totals_ ABSL_GUARDED_BY(mu_);
  std::int64_t next_order_ ABSL_GUARDED_BY(mu_) = 0;

  std::vector<Connections> connections_;  ///< One a worker.
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace postrider
