#include "server/sandbox/sandbox.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/json/json.h"

namespace postrider {

namespace {

constexpr std::size_t kLedgerPage = 10'000;
constexpr std::size_t kRefusedRemembered = 10'000;
constexpr auto kDrainTime = std::chrono::seconds(5);
constexpr const char* kTokenPath = "/oauth/token";
constexpr const char* kPlatformPath = "/api/v2/conversations/messages/agentless";
constexpr const char* kCheckPath = "/api/v2/messaging/compliance/check";
constexpr const char* kJson = "application/json";

GuardedServer::Options ServerOptions(int workers) {
  GuardedServer::Options options;
  options.front.name = "sandbox";
  options.workers = workers;
  options.queued_requests = 4096;
  return options;
}

std::string HeaderOf(const HttpRequest& request, std::string_view name) {
  return std::string(request.headers.Get(name).value_or(""));
}

HttpResponse RefusalOf(const SandboxRefusal& refusal, const std::string& correlation_id) {
  return {
      .status = refusal.http_status, .body = refusal.ToJson(correlation_id), .content_type = kJson};
}

HttpResponse OAuthError(std::string_view error, std::string_view description) {
  JsonObject body;
  body.Set("error", error).Set("description", description).Set("error_description", description);
  return {
      .status = error == "invalid_client" ? 401 : 400, .body = body.Dump(), .content_type = kJson};
}

// A path as the pattern that matches it and nothing else.
std::string Literal(std::string_view path) {
  std::string pattern;
  for (const char c : path) {
    if (std::string_view(R"(\^$.|?*+()[]{})").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::string MessageOf(int http_status, std::chrono::seconds retry_after) {
  switch (http_status) {
    case 401:
      return "No authentication bearer token specified, or it is not good";
    case 403:
      return "Unable to perform the requested action: permission missing";
    case 409:
      return "The organization's outbound usage limit is exceeded";
    case 429:
      return StrCat("Rate limit exceeded the maximum. Retry the request in [", retry_after.count(),
                    "] seconds");
    case 500:
      return "The server encountered an unexpected condition";
    case 503:
      return "Service unavailable";
    default:
      return "The request is not valid";
  }
}

}  // namespace

Sandbox::Sandbox(Options options, const Clock& clock, Random& random, Metrics& metrics)
    : options_(std::move(options)),
      clock_(clock),
      random_(random),
      metrics_(metrics),
      tokens_(options_.clients, options_.token_life, clock, random),
      rate_(options_.requests_per_minute, clock),
      desk_(book_, options_.receipts.after, clock),
      compliance_(options_.refused_word, metrics),
      receipts_(options_.receipts, clock, metrics),
      server_(ServerOptions(options_.workers), clock, metrics) {}

Sandbox::~Sandbox() { Drain(); }

absl::Status Sandbox::Start() {
  PR_ASSIGN_OR_RETURN(ledger_, Ledger::Open(options_.ledger_entries, options_.ledger_file));
  server_.Handle("POST", kTokenPath, [this](const HttpRequest& r) { return AnswerToken(r); });
  server_.Handle("POST", Literal(options_.send_path),
                 [this](const HttpRequest& r) { return AnswerPost(r, ReadPost); });
  server_.Handle("POST", kPlatformPath,
                 [this](const HttpRequest& r) { return AnswerPost(r, ReadPlatformPost); });
  ServeReads();
  server_.Handle("GET", "/sandbox", [this](const HttpRequest&) { return AnswerPage(); });
  server_.Handle("GET", "/sandbox/ledger",
                 [this](const HttpRequest& r) { return AnswerLedger(r); });
  server_.Handle("POST", "/sandbox/revoke-tokens", [this](const HttpRequest&) {
    RevokeTokens();
    return HttpResponse{.status = 204};
  });
  for (const bool on : {false, true}) {
    server_.Handle("POST", on ? "/sandbox/well-behaved/on" : "/sandbox/well-behaved/off",
                   [this, on](const HttpRequest&) {
                     well_behaved_ = on;
                     return HttpResponse{.status = 204};
                   });
    server_.Handle("POST", on ? "/sandbox/compliance/on" : "/sandbox/compliance/off",
                   [this, on](const HttpRequest&) {
                     compliance_.Switch(on);
                     return HttpResponse{.status = 204};
                   });
  }
  PR_RETURN_IF_ERROR(server_.Start(options_.host, options_.port));
  receipts_.Start();
  PR_LOG(kInfo, "sandbox ready: nothing leaves this machine", {"url", base_url()},
         {"clients", options_.clients.size()},
         {"requests_per_minute", options_.requests_per_minute});
  return absl::OkStatus();
}

std::string Sandbox::base_url() const { return StrCat("http://", options_.host, ":", port()); }
std::string Sandbox::token_url() const { return StrCat(base_url(), kTokenPath); }

absl::Status Sandbox::SetWebhook(const std::string& client_id, const std::string& url) {
  return receipts_.SetWebhook(client_id, url);
}

void Sandbox::Drain() {
  stopping_.request_stop();
  if (!server_.Drain(kDrainTime)) PR_LOG(kWarning, "sandbox requests were cut off");
  receipts_.Stop();
}

HttpResponse Sandbox::AnswerToken(const HttpRequest& request) {
  const std::optional<std::string> client =
      tokens_.Authenticate(HeaderOf(request, "Authorization"));
  if (!client) return OAuthError("invalid_client", "unknown client or wrong secret");
  const std::string form = StrCat("&", request.body, "&");
  if (form.find("&grant_type=client_credentials&") == std::string::npos)
    return OAuthError("unsupported_grant_type", "grant_type must be client_credentials");
  JsonObject body;
  body.Set("access_token", tokens_.Issue(*client))
      .Set("token_type", "bearer")
      .Set("expires_in", static_cast<std::int64_t>(options_.token_life.count()));
  return {.status = 200, .body = body.Dump(), .content_type = kJson};
}

HttpResponse Sandbox::AnswerPost(const HttpRequest& request, Reader read) {
  const std::string correlation_id = MakeUuidV4(random_).ToString();
  Decision decision = Check(request, read, correlation_id);
  LedgerEntry& entry = decision.entry;
  HttpResponse& response = decision.response;
  response.headers.Add("ININ-Correlation-Id", correlation_id);
  entry.http_status = response.hang_up ? 0 : response.status;
  PR_LOG(kDebug, "sandbox post", {"http_status", entry.http_status}, {"processed", entry.processed},
         {"recipient", MaskedNumber(entry.recipient)}, {"message_id", entry.message_id.ToString()},
         {"attempt", entry.attempt});
  metrics_
      .CounterOf("postrider_sandbox_posts_total", "POSTs of messages that the sandbox answered",
                 {{"status", StrCat(entry.http_status)}})
      .Add();
  // First the ledger: once a receipt is out, the message must be on record.
  ledger_->Append(std::move(entry));
  if (decision.message && decision.message->post.by_platform) {
    book_.Add(*decision.message);
  } else if (decision.message && options_.sends_receipts) {
    receipts_.Plan(*decision.message);
  }
  const auto answer_after = std::max(decision.answer_after, options_.answer_after);
  if (answer_after > std::chrono::milliseconds(0))
    (void)WaitOrStop(stopping_.get_token(), answer_after);
  return std::move(response);
}

std::optional<std::string> Sandbox::Admit(const HttpRequest& request,
                                          const std::string& correlation_id,
                                          HttpResponse& response) {
  std::optional<std::string> client = tokens_.ClientOf(HeaderOf(request, "Authorization"));
  if (!client) {
    response = RefusalOf({401, "bad.credentials", MessageOf(401, {}), ""}, correlation_id);
    return std::nullopt;
  }
  const RateWindows::Verdict rate = rate_.Count(*client);
  if (!rate.allowed) {
    response = RefusalOf({429, "too.many.requests.retry.after", MessageOf(429, rate.reset), ""},
                         correlation_id);
    response.headers.Add("Retry-After", StrCat(rate.reset.count()));
    client = std::nullopt;
  }
  if (rate_.per_minute() > 0) {
    response.headers.Add("inin-ratelimit-count", StrCat(rate.count));
    response.headers.Add("inin-ratelimit-allowed", StrCat(rate_.per_minute()));
    response.headers.Add("inin-ratelimit-reset", StrCat(rate.reset.count()));
  }
  return client;
}

HttpResponse Sandbox::AnswerRead(const HttpRequest& request,
                                 const std::function<HttpResponse()>& answer) {
  const std::string correlation_id = MakeUuidV4(random_).ToString();
  HttpResponse response;
  if (Admit(request, correlation_id, response)) {
    HttpResponse read = answer();
    for (const HttpHeader& line : response.headers) read.headers.Add(line.name, line.value);
    response = std::move(read);
  }
  response.headers.Add("ININ-Correlation-Id", correlation_id);
  return response;
}

void Sandbox::ServeReads() {
  const std::string messages = "/api/v2/conversations/messages/([^/]+)";
  server_.Handle("GET", messages, [this](const HttpRequest& r) {
    return AnswerRead(r, [&] { return desk_.Conversation(r.captures.at(0)); });
  });
  server_.Handle("GET", messages + "/details", [this](const HttpRequest& r) {
    return AnswerRead(r, [&] { return desk_.Message(r.captures.at(0), ""); });
  });
  server_.Handle("GET", messages + "/messages/([^/]+)", [this](const HttpRequest& r) {
    return AnswerRead(r, [&] { return desk_.Message(r.captures.at(1), r.captures.at(0)); });
  });
  server_.Handle("POST", messages + "/messages/bulk", [this](const HttpRequest& r) {
    return AnswerRead(r, [&] { return desk_.Bulk(r.captures.at(0), r.body); });
  });
  server_.Handle(
      "POST", "/api/v2/analytics/conversations/details/query",
      [this](const HttpRequest& r) { return AnswerRead(r, [&] { return desk_.Search(r.body); }); });
  server_.Handle("POST", kCheckPath, [this](const HttpRequest& r) {
    if (options_.answer_after.count() > 0)
      (void)WaitOrStop(stopping_.get_token(), options_.answer_after);
    return AnswerRead(r, [&] { return compliance_.Answer(r.body); });
  });
}

Sandbox::Decision Sandbox::Check(const HttpRequest& request, Reader read,
                                 const std::string& correlation_id) {
  Decision decision;
  decision.entry.at = clock_.Wall();
  HttpResponse admission;
  const std::optional<std::string> client = Admit(request, correlation_id, admission);
  if (!client) {
    decision.entry.client_id = tokens_.ClientOf(HeaderOf(request, "Authorization")).value_or("");
    decision.response = std::move(admission);
    return decision;
  }
  decision.entry.client_id = *client;
  const auto refuse = [&](const SandboxRefusal& refusal) {
    decision.response = RefusalOf(refusal, correlation_id);
  };
  if (!HeaderOf(request, "Content-Type").starts_with(kJson)) {
    refuse({415, "unsupported.media.type", "Content-Type must be application/json", ""});
  } else {
    const absl::StatusOr<Json> body = ParseJson(request.body);
    const auto post = body.ok() && body->IsObject()
                          ? read(*body)
                          : SandboxRefusal{400, "bad.request", "the body is not a JSON object", ""};
    if (const auto* good = std::get_if<SandboxPost>(&post)) {
      Decide(*good, correlation_id, decision);
    } else {
      refuse(std::get<SandboxRefusal>(post));
    }
  }
  for (const HttpHeader& line : admission.headers)
    decision.response.headers.Add(line.name, line.value);
  return decision;
}

void Sandbox::Decide(const SandboxPost& post, const std::string& correlation_id,
                     Decision& decision) {
  LedgerEntry& entry = decision.entry;
  entry.recipient = post.recipient;
  entry.sender = post.sender;
  entry.message_id = post.message_id;
  entry.attempt = post.attempt;
  const MagicNumber& row = MagicNumberOf(well_behaved_ ? "" : post.recipient);
  const SandboxBehaviour& does = row.behaviour;
  const bool refuses = Refuses(does, post);
  entry.processed = does.processed || !refuses;
  decision.answer_after = does.answer_after;
  if (entry.processed) {
    entry.provider_message_uuid = MakeUuidV4(random_);
    decision.message = SandboxMessage{
        .client_id = entry.client_id,
        .post = post,
        .provider_message_id = StrCat("msg-", entry.provider_message_uuid.ToString()),
        .provider_conversation_id = ConversationOf(post),
        .accepted_at = entry.at,
        .row = &row};
  }
  if (refuses) {
    decision.response = RefusalOf({does.http_status, std::string(does.code),
                                   MessageOf(does.http_status, does.retry_after), ""},
                                  correlation_id);
    if (does.http_status < 400) decision.response.headers.Add("Location", "/elsewhere");
    if (does.retry_after > std::chrono::seconds(0))
      decision.response.headers.Add("Retry-After", StrCat(does.retry_after.count()));
  } else {
    decision.response = AcceptanceOf(does.answer, *decision.message);
  }
}

std::string Sandbox::ConversationOf(const SandboxPost& post) {
  if (!post.conversation_id.empty()) return post.conversation_id;
  std::string fresh = StrCat("conv-", MakeUuidV4(random_).ToString());
  if (!post.by_platform) return fresh;
  return book_.ConversationOf(post.sender, post.recipient, clock_.Wall(), std::move(fresh));
}

bool Sandbox::Refuses(const SandboxBehaviour& does, const SandboxPost& post) {
  if (does.answer != SandboxAnswer::kRefuse || (does.unless_joined && post.joins)) return false;
  return !(does.first_only && RefusedBefore(post));
}

bool Sandbox::RefusedBefore(const SandboxPost& post) {
  const std::string key = post.message_id.IsNil()
                              ? StrCat(post.sender, "\n", post.recipient, "\n", post.text)
                              : post.message_id.ToString();
  MutexLock lock(mu_);
  if (!refused_.insert(key).second) return true;
  refused_oldest_first_.push_back(key);
  if (refused_oldest_first_.size() > kRefusedRemembered) {
    refused_.erase(refused_oldest_first_.front());
    refused_oldest_first_.pop_front();
  }
  return false;
}

HttpResponse Sandbox::AcceptanceOf(SandboxAnswer answer, const SandboxMessage& message) const {
  switch (answer) {
    case SandboxAnswer::kHangUp:
      return {.hang_up = true};
    case SandboxAnswer::kAcceptHtml:
      return {.status = 200,
              .body = "<!doctype html><title>Thank you</title><p>Your request was received.",
              .content_type = "text/html"};
    case SandboxAnswer::kAcceptWithoutId:
      return {.status = 202, .body = "{}", .content_type = kJson};
    case SandboxAnswer::kAccept:
    case SandboxAnswer::kRefuse:
      break;
  }
  if (message.post.by_platform)
    return {.status = 202,
            .body = PlatformAcceptance(message.post, message.provider_message_id,
                                       message.provider_conversation_id, message.accepted_at,
                                       options_.replies),
            .content_type = kJson};
  JsonObject body;
  body.Set("id", message.provider_message_id)
      .Set("conversationId", message.provider_conversation_id)
      .Set("status", "queued");
  return {.status = 202, .body = body.Dump(), .content_type = kJson};
}

HttpResponse Sandbox::AnswerLedger(const HttpRequest& request) const {
  std::int64_t after = 0;
  if (const auto asked = request.query.find("after"); asked != request.query.end()) {
    if (!absl::SimpleAtoi(asked->second, &after) || after < 0)
      return {.status = 400, .body = "after: not a number of an entry\n"};
  }
  std::string lines;
  for (const LedgerEntry& entry : ledger_->After(after, kLedgerPage))
    StrAppend(lines, entry.ToJson(), "\n");
  return {.status = 200, .body = std::move(lines), .content_type = "application/jsonl"};
}

HttpResponse Sandbox::AnswerPage() const {
  const Ledger::Totals posts = ledger_->totals();
  const ReceiptSender::Totals sent = receipts_.totals();
  std::string page =
      StrCat("Postrider sandbox: a Genesys Cloud to try against. Nothing leaves this machine.\n\n",
             "POST ", kTokenPath, "  client credentials\nPOST ", options_.send_path,
             "  a message, profile guide\nPOST ", kPlatformPath,
             "  a message, profile platform; its status is read\nPOST ", kCheckPath,
             "  whether a text may be sent\n",
             "GET /sandbox/ledger?after=N  every POST after number N, a JSON object a line, ",
             kLedgerPage, " at most\nPOST /sandbox/revoke-tokens  all access tokens end\n\n",
             "Magic recipients; every other one is delivered:\n\n", MagicNumbersText());
  StrAppend(page, "\nPOSTs ", posts.posts, ", processed ", posts.processed, "; tokens given out ",
            tokens_.issued(), "\nreceipts delivered ", sent.delivered, ", waiting ", sent.waiting,
            ", failed tries ", sent.failed_tries, ", given up ", sent.given_up, ", dropped ",
            sent.dropped, "\n");
  return {.status = 200, .body = std::move(page)};
}

}  // namespace postrider
