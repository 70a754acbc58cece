#include "server/api/gateway_state.h"

#include <algorithm>
#include <map>

#include "server/api/convert.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

/// Sets a field of `message` unless the time is the epoch, which stands for none.
#define PR_SET_TIME(message, field, time) \
  if ((time) != WallTime{}) ToProto(time, *(message).mutable_##field())

void Fill(const LaneFacts& lane, v1::DispatchRate& out) {
  out.set_effective_per_s(lane.effective_per_s);
  out.set_tokens(lane.tokens);
  out.set_waiting(lane.waiting);
}

/// Replicas by id.
using Replicas = std::map<ReplicaId, const ReplicaFacts*>;

const ReplicaFacts* OwnerOf(const ControlFacts& facts, const Replicas& replicas, int slot) {
  const auto found = replicas.find(facts.slots.at(static_cast<std::size_t>(slot)).owner);
  return found == replicas.end() ? nullptr : found->second;
}

void AddOwners(const ControlFacts& facts, const Replicas& replicas, v1::GatewayState& out) {
  for (const SlotFacts& slot : facts.slots) {
    v1::SlotState& shown = *out.add_slots();
    shown.set_slot(slot.slot);
    const ReplicaFacts* owner = OwnerOf(facts, replicas, slot.slot);
    if (owner != nullptr) shown.set_owner(owner->name);
    shown.set_epoch(slot.epoch);
    shown.set_intents_outstanding(slot.open_attempts);
    out.set_intents_outstanding(out.intents_outstanding() + slot.open_attempts);
  }
  for (const ReplicaFacts& replica : facts.replicas) {
    v1::ReplicaState& shown = *out.add_replicas();
    shown.set_replica_id(replica.replica_id.ToString());
    shown.set_name(replica.name);
    shown.set_alive(replica.alive);
    PR_SET_TIME(shown, expires_at, replica.expires_at);
    PR_SET_TIME(shown, started_at, replica.started_at);
  }
}

}  // namespace

ApiError SenderNotRegistered() {
  ApiError error;
  error.code = absl::StatusCode::kNotFound;
  error.reason = "SENDER_NOT_REGISTERED";
  error.message = "the tenant has no such sender";
  return error;
}

ApiError TenantNotFound(const std::string& name) {
  ApiError error;
  error.code = absl::StatusCode::kNotFound;
  error.reason = "TENANT_NOT_FOUND";
  error.message = "there is no tenant of this name";
  error.metadata["tenant"] = name;
  return error;
}

void ToProto(const BreakerReading& breaker, v1::BreakerState& out) {
  const BreakerStanding& standing = breaker.standing;
  out.set_kind(static_cast<v1::BreakerKind>(breaker.key.breaker));
  out.set_position(static_cast<v1::BreakerPosition>(standing.state));
  PR_SET_TIME(out, changed_at, standing.changed_at);
  PR_SET_TIME(out, open_until, standing.open_until);
  out.set_cause(standing.cause);
  out.set_calls(breaker.calls);
  out.set_failures(breaker.failures);
  if (!breaker.override_in_force) return;
  out.set_override(static_cast<v1::BreakerPosition>(breaker.override_in_force->state));
  PR_SET_TIME(out, override_until, breaker.override_in_force->until);
}

void ToProto(const DispatchPause& pause, const TenantRow& tenant, v1::DispatchPause& out) {
  v1::DispatchTarget& target = *out.mutable_target();
  target.set_tenant(tenant.name);
  if (pause.of.scope == PauseScope::kCampaign) target.set_campaign_id(pause.of.target);
  if (pause.of.scope == PauseScope::kSender) {
    target.set_sender(pause.of.target);  // one that was removed meanwhile keeps its id
    for (const SenderRow& sender : tenant.senders) {
      if (sender.sender_id.ToString() == pause.of.target) target.set_sender(sender.address);
    }
  }
  out.set_reason(pause.reason);
  out.set_actor(pause.actor);
  PR_SET_TIME(out, since, pause.since);
  PR_SET_TIME(out, until, pause.until);
}

bool GatewayStates::Knows(const std::string& tenant) const {
  return tenant.empty() || parts_.tenants.Current()->FindByName(tenant) != nullptr;
}

Result<v1::GatewayState> GatewayStates::Read(const std::string& tenant) const {
  const std::shared_ptr<const TenantSnapshot> known = parts_.tenants.Current();
  std::vector<const TenantRow*> rows;
  v1::GatewayState out;
  if (!tenant.empty()) {
    rows.push_back(known->FindByName(tenant));
    if (rows.front() == nullptr) return TenantNotFound(tenant);
  } else {
    for (const TenantRow& row : known->tenants()) rows.push_back(&row);
    out.set_has_more_tenants(rows.size() > kMaxTenantsShown);
    rows.resize(std::min(rows.size(), kMaxTenantsShown));
  }
  std::vector<TenantId> ids;
  for (const TenantRow* row : rows) ids.push_back(row->tenant_id);
  const absl::StatusOr<ControlFacts> facts = parts_.store.ReadControl(ids);
  if (!facts.ok()) return ErrorOfStore(facts.status());

  Replicas replicas;
  for (const ReplicaFacts& replica : facts->replicas) replicas[replica.replica_id] = &replica;
  PR_SET_TIME(out, at, facts->at);
  out.set_answered_by(parts_.replica_name);
  AddOwners(*facts, replicas, out);
  std::map<TenantId, v1::TenantState*> shown;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TenantFacts& of = facts->tenants.at(i);
    v1::TenantState& state = *out.add_tenants();
    shown[of.tenant_id] = &state;
    state.set_tenant_id(of.tenant_id.ToString());
    state.set_name(rows[i]->name);
    state.set_slot(SlotOf(of.tenant_id));
    const ReplicaFacts* owner = OwnerOf(*facts, replicas, state.slot());
    if (owner != nullptr && owner->alive) state.set_owner(owner->name);
    state.set_queue_depth(of.queue_depth);
    out.set_queue_depth(out.queue_depth() + of.queue_depth);
    PR_SET_TIME(state, oldest_due_at, of.oldest_due);
    state.set_licensed_per_s(rows[i]->rate_per_s);
    PR_SET_TIME(state, retry_after_until, of.retry_after);
  }
  for (const LaneFacts& lane : parts_.lanes()) {
    const auto found = shown.find(lane.tenant_id);
    if (found != shown.end()) Fill(lane, *found->second->mutable_rate());
  }
  for (const DispatchPause& pause : facts->pauses) {
    const TenantRow* row = known->Find(pause.of.tenant_id);
    ToProto(pause, *row, *shown.at(pause.of.tenant_id)->add_pauses());
  }
  for (const BreakerReading& breaker : facts->breakers) {
    ToProto(breaker, *shown.at(breaker.key.tenant_id)->add_breakers());
  }
  return out;
}

std::string ShapeOf(const v1::GatewayState& state) {
  v1::GatewayState shape = state;
  shape.clear_at();
  shape.clear_queue_depth();
  shape.clear_intents_outstanding();
  for (v1::TenantState& tenant : *shape.mutable_tenants()) {
    tenant.clear_queue_depth();
    tenant.clear_oldest_due_at();
    tenant.clear_rate();
    for (v1::BreakerState& breaker : *tenant.mutable_breakers()) {
      breaker.clear_calls();
      breaker.clear_failures();
    }
  }
  for (v1::SlotState& slot : *shape.mutable_slots()) slot.clear_intents_outstanding();
  for (v1::ReplicaState& replica : *shape.mutable_replicas()) replica.clear_expires_at();
  return shape.SerializeAsString();
}

}  // namespace postrider
