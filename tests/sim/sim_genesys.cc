#include "tests/sim/sim_genesys.h"

#include <algorithm>
#include <utility>

#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

class SimGenesys::Profile final : public Provider {
 public:
  Profile(SimGenesys& genesys, int replica, TenantId tenant)
      : genesys_(genesys), replica_(replica), tenant_(tenant) {}
  Outcome Send(const SendRequest& request) override {
    return genesys_.Receive(replica_, tenant_, request);
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
  on_post(replica, tenant, request);
  Post post{.tenant_id = tenant,
            .message_id = request.message_id,
            .attempt = request.attempt,
            .began_at = clock_.Now()};
  std::string provider_message_id;
  const Outcome outcome = Answer(post, provider_message_id);
  // It went out unless it was refused, or got lost on its way there.
  post.processed = !provider_message_id.empty();
  ledger_.push_back(post);
  if (post.processed) ScheduleReceipts(post, provider_message_id);
  on_answer(StrCat("Genesys: ", post.message_id.ToString(), " ", NameOf(outcome.kind), " ",
                   outcome.http_status, " retry after ", outcome.retry_after / 1ms, " ms"));
  meanwhile();
  on_answer(StrCat("Genesys has answered ", post.message_id.ToString()));
  return outcome;
}

Outcome SimGenesys::Answer(const Post& post, std::string& provider_message_id) {
  const std::string id =
      StrCat("sms-", post.message_id.ToString().substr(24), "-", post.attempt, "-", ledger_.size());
  const double dice = healed_ ? 1 : random_.Fraction();
  Outcome outcome;
  if (dice < 0.07) {
    outcome.kind = OutcomeKind::kNotSent;
    outcome.detail = "no connection";
  } else if (dice < 0.11) {
    outcome.kind = OutcomeKind::kNotSent;
    outcome.http_status = 429;
    outcome.hold = HoldReason::kRetryAfter;
    outcome.pauses_tenant = true;
    outcome.retry_after = std::chrono::seconds(1 + random_.Next() % 5);
    MonotonicTime& until = paused_until_[post.tenant_id];
    until = std::max(until, clock_.Now() + outcome.retry_after);
  } else if (dice < 0.14) {
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

void SimGenesys::ScheduleReceipts(const Post& post, const std::string& provider_message_id) {
  const bool delivered = random_.Fraction() < 0.8;
  const auto schedule = [&](MessageState state, const char* status, const char* code) {
    Webhook webhook{
        .tenant_id = post.tenant_id,
        .body =
            StrCat("{\"id\":\"", provider_message_id, "\",\"type\":\"sms\",\"status\":\"", status,
                   "\",\"timestamp\":\"2023-10-27T14:32:15Z\",\"deliveryStatus\":\"", status,
                   "\",\"errorCode\":", code, ",\"metadata\":{\"postriderMessageId\":\"",
                   post.message_id.ToString(), "\",\"postriderAttempt\":\"", post.attempt, "\"}}"),
        .due_at = {},
        .state = state,
        .message_id = post.message_id};
    const auto copies = 1 + random_.Next() % 3;
    for (std::uint64_t copy = 0; copy < copies; ++copy) {
      webhook.due_at = clock_.Now() + std::chrono::milliseconds(random_.Next() % 8000);
      webhooks_.push_back(webhook);
    }
  };
  schedule(MessageState::kSent, "sent", "null");
  if (delivered) {
    schedule(MessageState::kDelivered, "delivered", "null");
  } else {
    schedule(MessageState::kFailed, "failed", "\"carrier_rejected\"");
  }
}

}  // namespace postrider
