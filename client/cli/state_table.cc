#include "client/cli/state_table.h"

#include <cstdio>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/output.h"
#include "client/error.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

std::string RateText(double per_s) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f/s", per_s);
  return text;
}

std::string WithoutPrefix(std::string name, const std::string& prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

std::string KindText(const v1::BreakerState& breaker) {
  return WithoutPrefix(v1::BreakerKind_Name(breaker.kind()), "BREAKER_KIND_");
}

std::string PositionText(v1::BreakerPosition position) {
  return WithoutPrefix(v1::BreakerPosition_Name(position), "BREAKER_POSITION_");
}

bool IsClosed(const v1::BreakerState& breaker) {
  return breaker.position() == v1::BREAKER_POSITION_CLOSED &&
         breaker.override() == v1::BREAKER_POSITION_UNSPECIFIED;
}

/// What keeps a tenant from its rate, shortest first; empty: nothing.
std::string HeldText(const v1::TenantState& tenant) {
  std::vector<std::string> parts;
  if (tenant.owner().empty()) parts.emplace_back("no owner");
  if (tenant.pauses_size() > 0) parts.push_back(StrCat(tenant.pauses_size(), " paused"));
  for (const v1::BreakerState& breaker : tenant.breakers()) {
    if (!IsClosed(breaker)) {
      parts.push_back(StrCat(KindText(breaker), " breaker ",
                             PositionText(breaker.override() == v1::BREAKER_POSITION_UNSPECIFIED
                                              ? breaker.position()
                                              : breaker.override())));
    }
  }
  if (tenant.has_retry_after_until()) {
    parts.push_back(StrCat("Genesys: wait until ", TimeText(tenant.retry_after_until())));
  }
  std::string line;
  for (const std::string& part : parts) StrAppend(line, line.empty() ? "" : ", ", part);
  return line;
}

void PrintTenants(std::ostream& out, bool colour, const v1::GatewayState& state) {
  Table tenants(
      {"TENANT", "QUEUED", "OLDEST DUE", "LICENSED", "RATE", "TOKENS", "WAITING", "OWNER", "HELD"});
  for (const v1::TenantState& tenant : state.tenants()) {
    const bool has_rate = tenant.has_rate();
    tenants.Add({tenant.name(), StrCat(tenant.queue_depth()), TimeText(tenant.oldest_due_at()),
                 RateText(tenant.licensed_per_s()),
                 has_rate ? RateText(tenant.rate().effective_per_s()) : "",
                 has_rate ? StrCat(static_cast<long>(tenant.rate().tokens())) : "",
                 has_rate ? StrCat(tenant.rate().waiting()) : "", tenant.owner(),
                 HeldText(tenant)});
  }
  if (!tenants.empty()) tenants.Print(out, colour);
  if (state.has_more_tenants()) out << "... and more: name one\n";
}

void PrintHolds(std::ostream& out, bool colour, const v1::GatewayState& state) {
  Table pauses({"PAUSED", "SINCE", "UNTIL", "BY", "REASON"});
  Table breakers({"BREAKER", "POSITION", "SINCE", "NEXT TRY", "OVERRIDE", "CAUSE"});
  for (const v1::TenantState& tenant : state.tenants()) {
    for (const v1::DispatchPause& pause : tenant.pauses()) {
      pauses.Add({TargetText(pause.target()), TimeText(pause.since()),
                  pause.has_until() ? TimeText(pause.until()) : "resumed", pause.actor(),
                  pause.reason()});
    }
    for (const v1::BreakerState& breaker : tenant.breakers()) {
      if (IsClosed(breaker)) continue;
      std::string override_text;
      if (breaker.override() != v1::BREAKER_POSITION_UNSPECIFIED) {
        override_text =
            StrCat(PositionText(breaker.override()), " until ", TimeText(breaker.override_until()));
      }
      breakers.Add({StrCat(tenant.name(), "/", KindText(breaker)), PositionText(breaker.position()),
                    TimeText(breaker.changed_at()), TimeText(breaker.open_until()), override_text,
                    breaker.cause()});
    }
  }
  for (const Table* table : {&pauses, &breakers}) {
    if (table->empty()) continue;
    out << "\n";
    table->Print(out, colour);
  }
}

void PrintReplicas(std::ostream& out, bool colour, const v1::GatewayState& state) {
  std::map<std::string, std::string> slots;
  for (const v1::SlotState& slot : state.slots()) {
    std::string& list = slots[slot.owner()];
    StrAppend(list, list.empty() ? "" : " ", slot.slot());
  }
  Table replicas({"REPLICA", "ALIVE", "SINCE", "SLOTS"});
  for (const v1::ReplicaState& replica : state.replicas()) {
    replicas.Add({replica.name(), replica.alive() ? "yes" : "no", TimeText(replica.started_at()),
                  slots[replica.name()]});
  }
  if (const auto free = slots.find(""); free != slots.end()) {
    replicas.Add({"(nobody)", "", "", free->second});
  }
  out << "\n";
  replicas.Print(out, colour);
}

}  // namespace

std::string TargetText(const v1::DispatchTarget& target) {
  switch (target.part_case()) {
    case v1::DispatchTarget::kCampaignId:
      return StrCat(target.tenant(), "/campaign ", target.campaign_id());
    case v1::DispatchTarget::kSender:
      return StrCat(target.tenant(), "/sender ", target.sender());
    case v1::DispatchTarget::PART_NOT_SET:
      break;
  }
  return target.tenant();
}

void PrintState(std::ostream& out, bool colour, const v1::GatewayState& state) {
  out << TimeText(state.at()) << "  queued " << state.queue_depth() << "  on their way "
      << state.intents_outstanding() << "  told by " << client::Printable(state.answered_by())
      << "\n\n";
  PrintTenants(out, colour, state);
  PrintHolds(out, colour, state);
  PrintReplicas(out, colour, state);
}

void PrintStateLine(std::ostream& out, const v1::GatewayState& state) {
  int alive = 0;
  int pauses = 0;
  int breakers = 0;
  for (const v1::ReplicaState& replica : state.replicas()) alive += replica.alive() ? 1 : 0;
  for (const v1::TenantState& tenant : state.tenants()) {
    pauses += tenant.pauses_size();
    for (const v1::BreakerState& breaker : tenant.breakers()) breakers += IsClosed(breaker) ? 0 : 1;
  }
  out << TimeText(state.at()) << " queued=" << state.queue_depth()
      << " on_their_way=" << state.intents_outstanding() << " tenants=" << state.tenants_size()
      << " paused=" << pauses << " breakers_not_closed=" << breakers << " replicas=" << alive
      << "\n";
}

}  // namespace postrider::cli
