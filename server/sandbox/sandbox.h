#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/http/guarded_server.h"
#include "server/sandbox/compliance_desk.h"
#include "server/sandbox/ledger.h"
#include "server/sandbox/magic_numbers.h"
#include "server/sandbox/message_book.h"
#include "server/sandbox/platform_desk.h"
#include "server/sandbox/platform_shapes.h"
#include "server/sandbox/posts.h"
#include "server/sandbox/receipt_sender.h"
#include "server/sandbox/token_desk.h"

namespace postrider {

/// A Genesys Cloud to try against: OAuth, profile `guide` with receipts by webhook, profile
/// `platform` with reads instead, and recipients that decide how their message ends
/// (sandbox/magic_numbers.h). Nothing leaves the machine.
///
///   POST /oauth/token                                     client credentials
///   POST /api/v2/messaging/outbound/agentsless/messages   a message, profile `guide`
///   POST /api/v2/conversations/messages/agentless         a message, profile `platform`; its reads
///   POST /api/v2/messaging/compliance/check               whether a text may be sent
///   GET  /sandbox                                         what it is, in plain text
///   GET  /sandbox/ledger?after=N                          every POST, a JSON object a line
///   POST /sandbox/revoke-tokens                           all access tokens end
///   POST /sandbox/well-behaved/on, /off                   every message is delivered
///   POST /sandbox/compliance/on, /off                     texts are checked, or that is a 503
///
/// Safe from any thread once started.
class Sandbox {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    int port = 0;  ///< 0: a free one.
    std::string send_path = "/api/v2/messaging/outbound/agentsless/messages";
    std::vector<SandboxClient> clients = {{"sandbox", Secret("sandbox-secret")}};
    SandboxReplies replies = SandboxReplies::kNewer;  ///< Of profile `platform`.
    std::chrono::seconds token_life = std::chrono::hours(24);
    int requests_per_minute = 300;  ///< Of one client, in fixed windows; 0: no limit.
    ReceiptSender::Options receipts = {};
    std::chrono::milliseconds answer_after{};  ///< Each POST, unless its recipient decides.
    std::string refused_word = "contraband";   ///< ComplianceDesk's.
    bool sends_receipts = true;                ///< By webhook.
    int workers = 16;                          ///< POSTs answered at one time.
    std::size_t ledger_entries = 200'000;      ///< Kept in memory.
    std::string ledger_file = {};              ///< Empty: memory only.
  };

  /// `clock`, `random` and `metrics` must outlive the sandbox.
  Sandbox(Options options, const Clock& clock, Random& random, Metrics& metrics);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  /// Begins to serve; once. FAILED_PRECONDITION when the port is taken, INVALID_ARGUMENT when the
  /// ledger file cannot be opened.
  absl::Status Start();
  /// 0 before Start().
  int port() const { return server_.port(); }
  std::string base_url() const;
  std::string token_url() const;

  /// Where receipts of `client_id`'s messages go from now on, retries of earlier ones included.
  /// INVALID_ARGUMENT when `url` is not one.
  absl::Status SetWebhook(const std::string& client_id, const std::string& url);
  /// Ends every access token, as an operator at Genesys can.
  void RevokeTokens() { tokens_.RevokeAll(); }

  /// Valid after Start().
  const Ledger& ledger() const { return *ledger_; }
  ReceiptSender::Totals receipt_totals() const { return receipts_.totals(); }
  std::int64_t tokens_issued() const { return tokens_.issued(); }

  /// Takes no more requests, finishes those that have begun; receipts not yet sent are dropped.
  void Drain();

 private:
  HttpResponse AnswerToken(const HttpRequest& request);
  /// How a profile's POSTs are read.
  using Reader = std::variant<SandboxPost, SandboxRefusal> (*)(const Json& body);
  HttpResponse AnswerPost(const HttpRequest& request, Reader read);
  /// Lets in who has a token and is not too fast; a read's request counts as a POST does.
  HttpResponse AnswerRead(const HttpRequest& request, const std::function<HttpResponse()>& answer);
  void ServeReads();
  /// Whose the request is; nothing when it may not be, and `response` says why. Adds to `response`
  /// what is told of the rate.
  std::optional<std::string> Admit(const HttpRequest& request, const std::string& correlation_id,
                                   HttpResponse& response);
  HttpResponse AnswerLedger(const HttpRequest& request) const;
  HttpResponse AnswerPage() const;

  struct Decision {
    HttpResponse response;
    LedgerEntry entry;
    std::optional<SandboxMessage> message;  ///< When it is processed: its receipts are due.
    std::chrono::milliseconds answer_after{0};
  };
  Decision Check(const HttpRequest& request, Reader read, const std::string& correlation_id);
  /// For a POST that is well formed: what its recipient's row says.
  void Decide(const SandboxPost& post, const std::string& correlation_id, Decision& decision);
  std::string ConversationOf(const SandboxPost& post);
  /// Whether `does` refuses this POST.
  bool Refuses(const SandboxBehaviour& does, const SandboxPost& post);
  /// Whether a POST of this message was refused before; remembers that it was.
  bool RefusedBefore(const SandboxPost& post);
  HttpResponse AcceptanceOf(SandboxAnswer answer, const SandboxMessage& message) const;

  const Options options_;
  const Clock& clock_;
  Random& random_;
  Metrics& metrics_;
  TokenDesk tokens_;
  RateWindows rate_;
  std::unique_ptr<Ledger> ledger_;
  std::atomic<bool> well_behaved_ = false;
  std::stop_source stopping_;  ///< Ends slow answers.

  Mutex mu_;
  std::set<std::string> refused_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> refused_oldest_first_ ABSL_GUARDED_BY(mu_);

  MessageBook book_;
  const PlatformDesk desk_;
  ComplianceDesk compliance_;
  ReceiptSender receipts_;
  GuardedServer server_;
};

}  // namespace postrider
