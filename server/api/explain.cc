#include "server/api/explain.h"

#include <algorithm>
#include <cmath>

#include "server/api/convert.h"
#include "server/base/status_macros.h"
#include "server/model/dispatch_limits.h"
#include "server/policy/segments.h"
#include "server/policy/sender_rate.h"

namespace postrider {

namespace {

constexpr WallTime kUnknownInstant{};

/// A gate under way to the answer.
struct Held {
  v1::GateKind kind;
  WallTime until{};        ///< Epoch: not known.
  bool of_tenant = false;  ///< Holds all of its tenant's.
  const char* detail = "";
  bool is_turn = false;  ///< Ends with the estimate.
};

v1::GateKind KindOf(HoldReason reason) {
  switch (reason) {
    case HoldReason::kSchedule:
      return v1::GATE_KIND_SCHEDULE;
    case HoldReason::kRetryAfter:
      return v1::GATE_KIND_RETRY_AFTER;
    case HoldReason::kQuota:
      return v1::GATE_KIND_QUOTA;
    case HoldReason::kTenantStopped:
      return v1::GATE_KIND_TENANT_STOPPED;
    case HoldReason::kActiveConversation:
      return v1::GATE_KIND_ACTIVE_CONVERSATION;
    case HoldReason::kQuietHours:
      return v1::GATE_KIND_QUIET_HOURS;
    case HoldReason::kNone:
    case HoldReason::kBackoff:
      break;
  }
  return v1::GATE_KIND_BACKOFF;
}

const char* NameOf(PauseScope scope) {
  switch (scope) {
    case PauseScope::kTenant:
      return "tenant";
    case PauseScope::kCampaign:
      return "campaign";
    case PauseScope::kSender:
      return "sender";
  }
  return "";
}

/// Whether, and until when, a breaker holds messages.
std::optional<Held> GateOf(const BreakerReading& breaker) {
  if (breaker.InForce() == BreakerState::kClosed) return std::nullopt;
  Held gate{.kind = v1::GATE_KIND_BREAKER,
            .of_tenant = true,
            .detail = breaker.key.breaker == Breaker::kTransport ? "transport" : "carrier"};
  if (breaker.override_in_force) {
    gate.until = breaker.override_in_force->until;
  } else if (breaker.standing.state == BreakerState::kOpen) {
    gate.until = breaker.standing.open_until;
  }
  return gate;
}

std::vector<Held> GatesOf(const MessageStatus& status, const QueuePlace& place,
                          const std::optional<LaneFacts>& lane) {
  std::vector<Held> gates;
  if (place.due_at > place.at) gates.push_back({KindOf(status.hold_reason), place.due_at});
  WallTime retry_after = place.retry_after;
  if (lane && lane->pause_left > lane->pause_left.zero()) {
    const WallTime until =
        place.at + std::chrono::duration_cast<WallTime::duration>(lane->pause_left);
    if (lane->stopped) {
      gates.push_back({.kind = v1::GATE_KIND_TENANT_STOPPED, .until = until, .of_tenant = true});
    } else {
      retry_after = std::max(retry_after, until);
    }
  }
  if (retry_after > place.at) {
    gates.push_back({.kind = v1::GATE_KIND_RETRY_AFTER, .until = retry_after, .of_tenant = true});
  }
  for (const DispatchPause& pause : place.pauses) {
    gates.push_back({.kind = v1::GATE_KIND_PAUSED,
                     .until = pause.until,
                     .of_tenant = pause.of.scope == PauseScope::kTenant,
                     .detail = NameOf(pause.of.scope)});
  }
  for (const BreakerReading& breaker : place.breakers) {
    if (const auto gate = GateOf(breaker)) gates.push_back(*gate);
  }
  // Before it is due nobody needs to own it.
  if (place.owner.empty() && place.due_at <= place.at)
    gates.push_back({.kind = v1::GATE_KIND_NOT_OWNED, .of_tenant = true});
  return gates;
}

/// How many leave before it. While a lower priority waits each tenth turn is its.
int AheadOf(const QueuePlace& place) {
  const int alike = place.ahead_in_flow + place.ahead_elsewhere;
  return std::min(place.ahead_urgent + alike, kFloorEvery * (alike + 1) - 1);
}

/// How long `messages` take from `per_s` on, which after a 429 gains a tenth of `full_per_s` each
/// kRecoveryStep.
WallTime::duration TimeFor(double messages, double per_s, double full_per_s) {
  const double step_s = std::chrono::duration<double>(kRecoveryStep).count();
  double seconds = 0;
  while (per_s < full_per_s && messages > per_s * step_s) {
    messages -= per_s * step_s;
    seconds += step_s;
    per_s = std::min(full_per_s, per_s + kRecoveryGain * full_per_s);
  }
  seconds += std::max(0.0, messages) / per_s;
  return std::chrono::duration_cast<WallTime::duration>(std::chrono::duration<double>(seconds));
}

/// When it leaves: after what is ahead, at the rates in force, from when its tenant may send; what
/// is ahead elsewhere does not wait for a pause of its campaign or sender.
std::optional<WallTime> EstimateOf(const std::vector<Held>& gates, const QueuePlace& place,
                                   const LeavingRates& rates,
                                   const std::optional<LaneFacts>& lane) {
  WallTime tenant_begins = place.at;
  WallTime flow_begins = place.at;
  for (const Held& gate : gates) {
    if (gate.until == kUnknownInstant) return std::nullopt;
    if (gate.of_tenant) tenant_begins = std::max(tenant_begins, gate.until);
    if (gate.kind == v1::GATE_KIND_PAUSED) flow_begins = std::max(flow_begins, gate.until);
  }
  flow_begins = std::max(flow_begins, tenant_begins);
  double before = AheadOf(place) + 1;
  double per_s = rates.tenant_per_s;
  if (lane) {
    before += lane->waiting - lane->tokens;
    if (lane->resumes_per_s > 0) per_s = lane->resumes_per_s;
  }
  const double in_flow = place.ahead_in_flow + 1;
  const double flow_per_s = std::min(per_s, rates.sender_per_s / rates.segments);
  // A sender's bucket holds a second of its rate.
  const double flow_waits = flow_per_s < per_s ? std::max(0.0, in_flow - flow_per_s) : 0;
  return std::max({place.due_at, tenant_begins + TimeFor(before, per_s, rates.tenant_per_s),
                   flow_begins + TimeFor(flow_waits, flow_per_s, flow_per_s)});
}

v1::GateKind KindOf(const MessageStatus& status) {
  if (status.final) return v1::GATE_KIND_FINAL;
  if (status.state == MessageState::kDispatching) return v1::GATE_KIND_DISPATCHING;
  return EndsMessage(status.state) ? v1::GATE_KIND_FINAL : v1::GATE_KIND_AWAITING_RECEIPT;
}

}  // namespace

void ExplainQueued(const MessageStatus& status, const QueuePlace& place, const LeavingRates& rates,
                   const std::optional<LaneFacts>& lane, v1::ExplainMessageResponse& out) {
  ToProto(place.at, *out.mutable_at());
  out.set_state(v1::MESSAGE_STATE_QUEUED);
  out.set_ahead(std::min(AheadOf(place), kMaxPlaceCounted));
  out.set_has_more_ahead(place.capped);
  std::vector<Held> gates = GatesOf(status, place, lane);
  const std::optional<WallTime> estimate = EstimateOf(gates, place, rates, lane);
  if (estimate) ToProto(*estimate, *out.mutable_estimated_at());
  if (place.due_at <= place.at) {
    gates.push_back(
        {.kind = v1::GATE_KIND_RATE, .until = estimate.value_or(kUnknownInstant), .is_turn = true});
  }
  // What has no known end holds longest; its turn comes after all else.
  const auto rank = [](const Held& gate) {
    return std::pair(gate.is_turn, gate.until == kUnknownInstant
                                       ? WallTime::min()
                                       : kUnknownInstant + (kUnknownInstant - gate.until));
  };
  std::stable_sort(gates.begin(), gates.end(),
                   [&](const Held& a, const Held& b) { return rank(a) < rank(b); });
  for (const Held& gate : gates) {
    v1::Gate& shown = *out.add_gates();
    shown.set_kind(gate.kind);
    if (gate.until != kUnknownInstant) ToProto(gate.until, *shown.mutable_until());
    shown.set_detail(gate.detail);
  }
}

namespace {

LeavingRates RatesOf(TenantDirectory& tenants, const MessageRequest& request) {
  LeavingRates rates;
  rates.segments = SegmentsOf(request.text).count;
  rates.sender_per_s = SegmentsPerSecondOf(request.sender);
  const std::shared_ptr<const TenantSnapshot> all = tenants.Current();
  const TenantRow* const row = all->Find(request.tenant_id);
  if (row == nullptr) return rates;
  rates.tenant_per_s = row->rate_per_s;
  for (const SenderRow& sender : row->senders) {
    const bool its = sender.sender_id == request.sender_id;
    if (its && sender.segments_per_s) rates.sender_per_s = *sender.segments_per_s;
  }
  return rates;
}

}  // namespace

absl::Status Explain(const ExplainParts& parts, TenantId tenant, const StatusQuery& wanted,
                     v1::ExplainMessageResponse& out) {
  // Twice: between the two reads it can have left the queue, and come back.
  for (int look = 0; look < 2; ++look) {
    PR_ASSIGN_OR_RETURN(const MessageRecord record,
                        wanted.message_id.IsNil()
                            ? parts.store.GetMessageByRequest(tenant, wanted.request_id)
                            : parts.store.GetMessage({tenant, wanted.message_id}));
    const MessageStatus& status = record.message.status;
    out.Clear();
    out.set_message_id(record.message.message_id.ToString());
    if (status.state != MessageState::kQueued || status.final) {
      ToProto(parts.clock.Wall(), *out.mutable_at());
      out.set_state(static_cast<v1::MessageState>(status.state));
      out.add_gates()->set_kind(KindOf(status));
      return absl::OkStatus();
    }
    const absl::StatusOr<QueuePlace> place =
        parts.store.FindQueuePlace({tenant, record.message.message_id}, kMaxPlaceCounted);
    if (absl::IsNotFound(place.status())) continue;
    if (!place.ok()) return place.status();
    std::optional<LaneFacts> lane;
    if (parts.lanes) {
      for (const LaneFacts& known : parts.lanes()) {
        if (known.tenant_id == tenant) lane = known;
      }
    }
    ExplainQueued(status, *place, RatesOf(parts.tenants, record.message.request), lane, out);
    return absl::OkStatus();
  }
  // It moves faster than we look: it is being dispatched.
  ToProto(parts.clock.Wall(), *out.mutable_at());
  out.set_state(v1::MESSAGE_STATE_DISPATCHING);
  out.add_gates()->set_kind(v1::GATE_KIND_DISPATCHING);
  return absl::OkStatus();
}

}  // namespace postrider
