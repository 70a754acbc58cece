#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/model/ids.h"
#include "server/model/state.h"

namespace postrider {

enum class Priority : std::uint8_t { kUrgent = 1, kNormal = 2, kBulk = 3 };
inline constexpr std::size_t kPriorities = 3;
/// URGENT 0, NORMAL 1, BULK 2: the lower goes first.
inline std::size_t RankOf(Priority priority) { return static_cast<std::size_t>(priority) - 1; }
enum class DuplicatePolicy : std::uint8_t { kAtMostOnce = 1, kAtLeastOnce = 2 };

/// Ordered, so that a fingerprint and a payload do not depend on the caller's order.
using Metadata = std::map<std::string, std::string>;

/// What a caller asked for, checked and normalised (api/validate.h makes it).
struct MessageRequest {
  TenantId tenant_id;
  std::string request_id;  ///< 1 .. 64 of [A-Za-z0-9._:-]
  std::string recipient;   ///< E.164, "+" and 2 .. 15 digits; of a stored one empty: erased.
  SenderId sender_id;
  std::string sender;               ///< The sender's address as registered.
  std::string text;                 ///< UTF-8, no NUL, 1 .. 765 characters; as recipient.
  std::string template_name;        ///< The template that gave the text; empty: none did.
  Metadata template_values;         ///< Its values by place; of a stored one empty.
  ConversationId conversation_id;   ///< Nil: find or make the one of (tenant, contact, sender).
  std::string external_contact_id;  ///< Empty: the recipient's number is the contact.
  std::string campaign_id;          ///< Empty: none.
  Metadata metadata;
  Priority priority = Priority::kNormal;
  DuplicatePolicy duplicate_policy = DuplicatePolicy::kAtMostOnce;
  WallTime not_before{};           ///< Epoch: at once.
  WallTime expire_at{};            ///< Epoch: never.
  std::string time_zone;           ///< IANA name, or empty.
  bool answers_opt_out = false;    ///< The one answer to an opt-out: made by the store only.
  bool content_unchecked = false;  ///< Let out without the verdict that was asked for.
};

/// Whether something of a stored message is gone that sending it would need.
inline bool IsErased(const MessageRequest& r) { return r.text.empty() || r.recipient.empty(); }

/// Messages of a tenant that take turns with its others: what dispatch is fair between.
struct Flow {
  TenantId tenant_id;
  Priority priority = Priority::kNormal;
  std::string campaign_id;
  SenderId sender_id;
  friend auto operator<=>(const Flow&, const Flow&) = default;
};
inline Flow FlowOf(const MessageRequest& request) {
  return {request.tenant_id, request.priority, request.campaign_id, request.sender_id};
}

/// A number of messages a UTC day, of all that have the same key.
struct DailyCap {
  std::string key;  ///< "campaign:spring", "destination:+1"
  std::int64_t most = 0;
};

/// What accepting a message is held to: the tenant's and the caller's bounds when it is called.
struct AcceptBounds {
  std::optional<std::int64_t> queue_limit = {};   ///< Messages that may wait; none: no limit.
  std::optional<std::int64_t> tenant_quota = {};  ///< Messages a UTC day; none: no quota.
  std::optional<std::int64_t> token_quota = {};   ///< The same of the caller's token.
  std::string token_sha256 = {};                  ///< The caller's; needed with token_quota.
  std::vector<DailyCap> caps = {};
  bool may_open = true;  ///< False: its conversation must be there already.
};

/// A request that has been given its ids: what the store accepts.
struct NewMessage {
  MessageRequest request;
  MessageId message_id;
  ConversationId new_conversation_id;  ///< Used when the request names none and none is stored.
  std::string fingerprint;             ///< 32 bytes: two requests are the same when equal.
  AcceptBounds bounds = {};
  WallTime quiet_until{};  ///< Quiet hours hold it so long; never before not_before. Epoch: none.
};

/// A stored message.
struct Message {
  MessageId message_id;
  MessageRequest request;  ///< With the conversation that it got.
  MessageStatus status;
  WallTime accepted_at{};
  WallTime updated_at{};
  std::string provider_message_id;       ///< Empty until known.
  std::string provider_conversation_id;  ///< Empty until known.
};

/// One row of a message's history: status_event, and what streams carry.
struct StatusEvent {
  TenantId tenant_id;
  MessageId message_id;
  ConversationId conversation_id;
  std::string external_contact_id;
  std::string campaign_id;
  MessageState previous = MessageState::kQueued;  ///< Equal to state in the first event.
  MessageStatus status;
  Cause cause = Cause::kAccepted;
  bool correction = false;
  WallTime at{};
};

/// How a POST ended. Stored; never renumber. Source: design, step 6.
enum class OutcomeKind : std::uint8_t {
  kAccepted = 1,   ///< A 2xx, readable or not.
  kNotSent = 2,    ///< For certain: may be tried again.
  kRejected = 3,   ///< For good.
  kHeld = 4,       ///< Refused for now (quota, active conversation): tried again later.
  kUnknown = 5,    ///< It may have been sent.
  kTakenBack = 6,  ///< Never posted: the intent was too old when its turn came.
};
std::string_view NameOf(OutcomeKind kind);

/// The result of one POST, in the gateway's words (provider.h makes it, the store records it).
struct Outcome {
  OutcomeKind kind = OutcomeKind::kUnknown;
  int http_status = 0;  ///< 0: no reply.
  int requests = 0;     ///< What it took: each counts against the account's rate.
  std::string provider_code;
  std::string provider_message_id;
  std::string provider_conversation_id;
  std::string correlation_id;
  FailureReason failure = FailureReason::kNone;
  HoldReason hold = HoldReason::kNone;     ///< With kNotSent and kHeld: why it waits.
  std::chrono::nanoseconds retry_after{};  ///< With kNotSent, kHeld: the provider's; 0: none.
  bool pauses_tenant = false;  ///< 429: nothing of this tenant leaves before retry_after.
  bool stops_tenant = false;   ///< Credentials or permissions: the operator must act.
  std::string detail;          ///< For the attempt's row and logs: one line, no text, no number.
};

/// One row of attempt.
struct Attempt {
  int attempt = 1;
  WallTime intended_at{};
  WallTime outcome_at{};  ///< Epoch while open.
  bool open = true;
  Outcome outcome;
};

}  // namespace postrider
