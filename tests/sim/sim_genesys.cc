#include "tests/sim/sim_genesys.h"

#include <algorithm>
#include <utility>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

class SimGenesys::Profile final : public Provider {
 public:
  Profile(SimGenesys& genesys, int replica, TenantId tenant)
      : genesys_(genesys), replica_(replica), tenant_(tenant) {}
  Outcome Send(const SendRequest& request) override {
    return genesys_.Receive(replica_, tenant_, request);
  }
  bool CanRead() const override { return genesys_.readable_.contains(tenant_); }
  ReadAnswer Read(const ReadRequest& request) override {
    return genesys_.AnswerRead(tenant_, request);
  }

 private:
  SimGenesys& genesys_;
  const int replica_;
  const TenantId tenant_;
};

class SimGenesys::Factory final : public ProviderFactory {
 public:
  Factory(SimGenesys& genesys, int replica) : genesys_(genesys), replica_(replica) {}
  /// The account's client_id is the tenant's id.
  absl::StatusOr<std::unique_ptr<Provider>> Make(const ProviderAccount& account) override {
    return std::make_unique<Profile>(genesys_, replica_,
                                     TenantId::Parse(account.client_id).value());
  }

 private:
  SimGenesys& genesys_;
  const int replica_;
};

std::unique_ptr<ProviderFactory> SimGenesys::FactoryOf(int replica) {
  return std::make_unique<Factory>(*this, replica);
}

Outcome SimGenesys::Receive(int replica, TenantId tenant, const SendRequest& request) {
  if (is_gone()) return {};
  on_post(replica, tenant, request);
  Post post{.tenant_id = tenant,
            .message_id = request.message_id,
            .attempt = request.attempt,
            .began_at = clock_.Now(),
            .recipient = request.recipient};
  requests_[tenant].push_back(post.began_at);
  std::string provider_message_id;
  const Outcome outcome = Answer(post, provider_message_id);
  // It went out unless it was refused, or got lost on its way there.
  post.processed = !provider_message_id.empty();
  post.provider_message_id = provider_message_id;
  if (post.processed) {
    const Storm* const storm = StormNow();
    const double share = storm != nullptr && storm->carriers ? 0.1 : 0.8;
    post.delivered = healed_ || random_.Fraction() < share;
    post.silent = !healed_ && loses_receipts_ > 0 && random_.Fraction() < loses_receipts_;
    post.seen_from = clock_.Now() + std::chrono::milliseconds(random_.Next() % 6000);
    ScheduleReceipts(post);
  }
  ledger_.push_back(post);
  on_answer(StrCat("Genesys: ", post.message_id.ToString(), " ", NameOf(outcome.kind), " ",
                   outcome.http_status, " retry after ", outcome.retry_after / 1ms, " ms"));
  on_outcome(post, outcome);
  meanwhile();
  on_answer(StrCat("Genesys has answered ", post.message_id.ToString()));
  return outcome;
}

Outcome SimGenesys::Answer(const Post& post, std::string& provider_message_id) {
  const std::string id =
      StrCat("sms-", post.message_id.ToString().substr(24), "-", post.attempt, "-", ledger_.size());
  const Storm* const storm = StormNow();
  if (storm != nullptr && storm->posts && random_.Fraction() < 0.8) {
    return AnswerInStorm(id, provider_message_id);
  }
  const double dice = healed_ ? 1 : random_.Fraction();
  Outcome outcome;
  if (dice < 0.05) {
    outcome.kind = OutcomeKind::kNotSent;
    outcome.detail = "no connection";
  } else if (dice < 0.12) {
    outcome.kind = OutcomeKind::kNotSent;
    outcome.http_status = 429;
    outcome.hold = HoldReason::kRetryAfter;
    outcome.pauses_tenant = true;
    outcome.retry_after = Throttle(post.tenant_id);
  } else if (dice < 0.15) {
    outcome.kind = OutcomeKind::kRejected;
    outcome.http_status = 400;
    outcome.failure = FailureReason::kRejectedByProvider;
  } else if (dice < 0.24) {
    // The request forwarded and the reply dropped, or the request lost: nobody can tell.
    outcome.kind = OutcomeKind::kUnknown;
    if (dice < 0.19) provider_message_id = id;
  } else {
    outcome.kind = OutcomeKind::kAccepted;
    outcome.http_status = 202;
    provider_message_id = id;
    if (dice > 0.3) outcome.provider_message_id = id;
  }
  return outcome;
}

const SimGenesys::Storm* SimGenesys::StormNow() const {
  if (healed_) return nullptr;
  for (const Storm& storm : storms_) {
    if (storm.from <= clock_.Now() && clock_.Now() < storm.until) return &storm;
  }
  return nullptr;
}

Outcome SimGenesys::AnswerInStorm(const std::string& id, std::string& provider_message_id) {
  Outcome outcome;
  const double dice = random_.Fraction();
  if (dice < 0.5) {
    outcome.kind = OutcomeKind::kNotSent;  // Refused at the edge.
    outcome.http_status = 503;
  } else {
    outcome.kind = OutcomeKind::kUnknown;
    outcome.http_status = 500;
    if (dice < 0.65) provider_message_id = id;
  }
  return outcome;
}

std::chrono::nanoseconds SimGenesys::Throttle(TenantId tenant) {
  const auto wait = std::chrono::seconds(1 + random_.Next() % 10);
  MonotonicTime& until = paused_until_[tenant];
  until = std::max(until, clock_.Now() + wait);
  return wait;
}

ProviderMessage SimGenesys::Shown(const Post& post) const {
  ProviderMessage shown;
  shown.provider_message_id = post.provider_message_id;
  const auto age = clock_.Now() - post.began_at;
  shown.status.state = age < 3s         ? MessageState::kSubmitted
                       : age < 6s       ? MessageState::kSent
                       : post.delivered ? MessageState::kDelivered
                                        : MessageState::kFailed;
  if (shown.status.state == MessageState::kFailed) shown.status.failure = FailureReason::kOther;
  shown.status.hash =
      StrCat("read-", post.provider_message_id, static_cast<int>(shown.status.state));
  return shown;
}

ReadAnswer SimGenesys::AnswerRead(TenantId tenant, const ReadRequest& request) {
  using Kind = ReadAnswer::Kind;
  ReadAnswer answer;
  if (is_gone()) return answer;
  answer.requests = request.provider_message_id.empty() ? 2 : 1;
  for (int i = 0; i < answer.requests; ++i) requests_[tenant].push_back(clock_.Now());
  const double dice = healed_ ? 1 : random_.Fraction();
  if (dice < 0.05) {
    answer.kind = Kind::kThrottled;
    answer.retry_after = Throttle(tenant);
  } else if (dice < 0.15) {
    answer.kind = Kind::kNotRead;
  } else {
    const WallTime from = request.intended_at - kReadWindow;
    const WallTime until = request.intended_at + kStartBy + kSendDeadline + kReadWindow;
    for (const Post& post : ledger_) {
      if (!post.processed || post.tenant_id != tenant || post.seen_from > clock_.Now()) continue;
      const WallTime at = clock_.Wall() - std::chrono::duration_cast<WallTime::duration>(
                                              clock_.Now() - post.began_at);
      const bool meant = request.provider_message_id.empty()
                             ? post.recipient == request.recipient && from <= at && at <= until
                             : post.provider_message_id == request.provider_message_id;
      if (meant) answer.found.push_back(Shown(post));
    }
    answer.kind = answer.found.empty()       ? Kind::kAbsent
                  : answer.found.size() == 1 ? Kind::kFound
                                             : Kind::kSeveral;
  }
  on_answer(
      StrCat("Genesys: read of ", request.message_id.ToString(), " finds ", answer.found.size()));
  meanwhile();
  return answer;
}

void SimGenesys::ScheduleReceipts(const Post& post) {
  const auto schedule = [&](const char* status, const char* code) {
    Webhook webhook{
        .tenant_id = post.tenant_id,
        .body =
            StrCat("{\"id\":\"", post.provider_message_id, "\",\"type\":\"sms\",\"status\":\"",
                   status, "\",\"timestamp\":\"2023-10-27T14:32:15Z\",\"deliveryStatus\":\"",
                   status, "\",\"errorCode\":", code, ",\"metadata\":{\"postriderMessageId\":\"",
                   post.message_id.ToString(), "\",\"postriderAttempt\":\"", post.attempt, "\"}}"),
        .due_at = {}};
    constexpr int kCopies[] = {1, 1, 1, 2, 3};
    for (int left = kCopies[random_.Next() % std::size(kCopies)]; left > 0; --left) {
      webhook.due_at = clock_.Now() + std::chrono::milliseconds(random_.Next() % 8000);
      webhooks_.push_back(webhook);
    }
  };
  schedule("sent", "null");
  if (post.silent) return;
  if (post.delivered) {
    schedule("delivered", "null");
  } else {
    schedule("failed", "\"carrier_rejected\"");
  }
}

}  // namespace postrider
