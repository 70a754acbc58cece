#include "server/sandbox/receipt_sender.h"

#include <algorithm>
#include <utility>

#include "server/base/check.h"
#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/base/url.h"

namespace postrider {

namespace {

constexpr auto kAnswerWithin = std::chrono::seconds(2);
constexpr std::chrono::minutes kRetryAfter[] = {std::chrono::minutes(1), std::chrono::minutes(10),
                                                std::chrono::minutes(29), std::chrono::minutes(80)};
constexpr std::size_t kConnectionsPerWorker = 64;
constexpr const char* kTotal = "postrider_sandbox_receipts_total";
constexpr const char* kTotalHelp = "Receipts that the sandbox sent, by what became of them";

}  // namespace

ReceiptSender::ReceiptSender(Options options, const Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      delivered_(metrics.CounterOf(kTotal, kTotalHelp, {{"result", "delivered"}})),
      failed_(metrics.CounterOf(kTotal, kTotalHelp, {{"result", "failed_try"}})),
      given_up_(metrics.CounterOf(kTotal, kTotalHelp, {{"result", "given_up"}})),
      dropped_(metrics.CounterOf(kTotal, kTotalHelp, {{"result", "dropped"}})),
      connections_(static_cast<std::size_t>(options_.workers)) {
  PR_CHECK(options_.workers > 0 && options_.retry_scale >= 0);
}

ReceiptSender::~ReceiptSender() { Stop(); }

void ReceiptSender::Start() {
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    workers_.push_back(std::make_unique<Worker>(
        StrCat("receipts-", i), [this, i](std::stop_token stop) { Step(connections_[i], stop); }));
  }
}

absl::Status ReceiptSender::SetWebhook(const std::string& client_id, const std::string& url) {
  PR_ASSIGN_OR_RETURN(const BaseUrl parsed, ParseBaseUrl(url));
  Webhook webhook{.origin = StrCat(parsed.tls ? "https://" : "http://", parsed.Authority()),
                  .path = parsed.prefix.empty() ? "/" : parsed.prefix};
  MutexLock lock(mu_);
  webhooks_[client_id] = std::move(webhook);
  return absl::OkStatus();
}

void ReceiptSender::Plan(const SandboxMessage& message) {
  PR_CHECK(message.row != nullptr);
  auto shared = std::make_shared<SandboxMessage>(message);
  if (!message.row->behaviour.echoes_metadata) shared->post.metadata.clear();
  const bool before_answer = message.row->behaviour.receipts == SandboxReceipts::kBeforeAnswer;
  Connections connections;
  for (Job& job : JobsOf(shared)) {
    if (before_answer) {
      Try(std::move(job), connections);
    } else {
      Push(std::move(job));
    }
  }
}

std::vector<ReceiptSender::Job> ReceiptSender::JobsOf(
    const std::shared_ptr<const SandboxMessage>& message) const {
  const SandboxBehaviour& does = message->row->behaviour;
  if (does.last_status.empty()) return {};
  std::vector<std::string_view> statuses = {"queued", "sent"};
  if (does.last_status != "sent") statuses.push_back(does.last_status);
  const MonotonicTime now = clock_.Now();
  const bool backwards = does.receipts == SandboxReceipts::kBackwardsTwice;
  std::vector<Job> jobs;
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    // What the receipt says happened stays in order; when it leaves does not.
    const std::size_t leaves = backwards ? statuses.size() - 1 - i : i;
    Job job;
    job.due = now + options_.after[leaves];
    job.status = statuses[i];
    job.offset = options_.after[i];
    job.message = message;
    jobs.push_back(job);
    if (backwards) jobs.push_back(job);
  }
  return jobs;
}

void ReceiptSender::Push(Job job) {
  bool first = false;
  {
    MutexLock lock(mu_);
    if (heap_.size() < options_.queued) {
      job.order = next_order_++;
      heap_.push_back(std::move(job));
      std::push_heap(heap_.begin(), heap_.end(), Later);
      first = heap_.front().order == next_order_ - 1;
    } else {
      ++totals_.dropped;
      dropped_.Add();
    }
  }
  // Whoever waits, waits for what was first until now.
  if (first) changed_.NotifyOne();
}

void ReceiptSender::Step(Connections& connections, std::stop_token stop) {
  Job job;
  {
    MutexLock lock(mu_);
    std::chrono::nanoseconds wait = std::chrono::seconds(1);
    std::int64_t first = -1;
    if (!heap_.empty()) {
      first = heap_.front().order;
      wait = std::min(wait, heap_.front().due - clock_.Now());
    }
    // An earlier one that comes meanwhile ends the wait too: its time is not ours.
    const auto changed = [this, first]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !heap_.empty() && (heap_.front().due <= clock_.Now() || heap_.front().order != first);
    };
    if (!changed_.WaitFor(mu_, stop, wait, changed)) return;
    if (stop.stop_requested() || heap_.front().due > clock_.Now()) return;
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    job = std::move(heap_.back());
    heap_.pop_back();
  }
  Try(std::move(job), connections);
}

void ReceiptSender::Try(Job job, Connections& connections) {
  const bool taken = Post(job, connections);
  const bool again = !taken && job.tries < static_cast<int>(std::size(kRetryAfter));
  (taken ? delivered_ : failed_).Add();
  if (!taken && !again) given_up_.Add();
  {
    MutexLock lock(mu_);
    ++(taken ? totals_.delivered : totals_.failed_tries);
    if (!taken && !again) ++totals_.given_up;
  }
  if (taken) return;
  PR_LOG(kDebug, "sandbox receipt was not taken", {"status", job.status},
         {"provider_message_id", job.message->provider_message_id}, {"try", job.tries + 1});
  if (!again) return;
  const std::chrono::duration<double, std::nano> wait =
      std::chrono::nanoseconds(kRetryAfter[job.tries]) * options_.retry_scale;
  job.due = clock_.Now() + std::chrono::duration_cast<std::chrono::nanoseconds>(wait);
  ++job.tries;
  Push(std::move(job));
}

HttpHeaders ReceiptSender::SignatureHeaders(const std::string& body) const {
  HttpHeaders headers;
  if (options_.secret.empty()) return headers;
  const std::string time = StrCat(
      std::chrono::duration_cast<std::chrono::seconds>(clock_.Wall().time_since_epoch()).count());
  headers.Add("X-Hub-Signature-Time", time);
  headers.Add("X-Hub-Signature-256",
              StrCat("sha256=", Base64Of(HmacSha256(options_.secret, StrCat(time, ".", body)))));
  return headers;
}

bool ReceiptSender::Post(const Job& job, Connections& connections) {
  const SandboxMessage& message = *job.message;
  Webhook webhook;
  {
    MutexLock lock(mu_);
    const auto found = webhooks_.find(message.client_id);
    if (found == webhooks_.end()) return false;
    webhook = found->second;
  }
  if (connections.size() > kConnectionsPerWorker) connections.clear();
  std::unique_ptr<HttpClient>& client = connections[webhook.origin];
  if (client == nullptr) {
    absl::StatusOr<std::unique_ptr<HttpClient>> made =
        HttpClient::Create({.base_url = webhook.origin, .ca_file = options_.ca_file}, clock_);
    if (!made.ok()) {
      PR_LOG(kWarning, "sandbox webhook cannot be used", {"error", ToStd(made.status().message())});
      return false;
    }
    client = *std::move(made);
  }
  const std::string_view error_code =
      job.status == "failed" ? message.row->behaviour.error_code : std::string_view();
  const std::string body = ReceiptJson(
      message.post, message.provider_message_id, message.provider_conversation_id, job.status,
      error_code, message.accepted_at + std::chrono::duration_cast<WallTime::duration>(job.offset));
  const HttpResult result = client->Send({.method = "POST",
                                          .path = webhook.path,
                                          .headers = SignatureHeaders(body),
                                          .body = body,
                                          .content_type = "application/json",
                                          .timeout = kAnswerWithin});
  return result.response && result.response->status >= 200 && result.response->status < 300;
}

ReceiptSender::Totals ReceiptSender::totals() const {
  MutexLock lock(mu_);
  Totals totals = totals_;
  totals.waiting = static_cast<std::int64_t>(heap_.size());
  return totals;
}

void ReceiptSender::Stop() {
  for (const auto& worker : workers_) worker->RequestStop();
  workers_.clear();
  MutexLock lock(mu_);
  heap_.clear();
}

}  // namespace postrider
