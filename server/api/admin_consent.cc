#include <algorithm>
#include <utility>

#include <google/protobuf/util/time_util.h>

#include "server/api/admin_service.h"
#include "server/api/convert.h"
#include "server/api/field_rules.h"
#include "server/api/page_token.h"
#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/consent_limits.h"

// AdminService's calls about opt-outs and consent.
namespace postrider {

namespace {

/// The same for the same place of the same request: a UUIDv8 (RFC 9562) of their digest.
Uuid ConsentIdOf(TenantId tenant, const std::string& request_id, int place) {
  const std::string digest =
      Sha256Bytes(StrCat("consent ", tenant.ToString(), " ", request_id, " ", place));
  Uuid id;
  std::copy_n(digest.begin(), id.bytes.size(), id.bytes.begin());
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x80);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

bool IsKnown(v1::ConsentChange change) {
  return change == v1::CONSENT_CHANGE_OPT_OUT || change == v1::CONSENT_CHANGE_OPT_IN;
}

void CheckConsent(const v1::Consent& consent, const std::string& field, FieldRules& rules) {
  rules.Number(StrCat(field, ".recipient"), consent.recipient());
  if (!IsKnown(consent.change())) {
    rules.Violate(StrCat(field, ".change"), "must be OPT_OUT or OPT_IN");
  }
  if (!consent.evidence().empty()) {
    rules.Text(StrCat(field, ".evidence"), consent.evidence(), kMaxEvidenceCharacters);
  }
}

void CheckConsents(const v1::RecordConsentRequest& asked, FieldRules& rules) {
  if (asked.tenant().empty()) rules.Violate("tenant", "is required");
  rules.Key("request_id", asked.request_id(), kMaxRequestIdBytes, true);
  rules.Text("reason", asked.reason(), kMaxReasonCharacters);
  if (asked.consents_size() < 1 || asked.consents_size() > kConsentBatch) {
    rules.Violate("consents", StrCat("must be 1 to ", kConsentBatch));
    return;
  }
  for (int i = 0; i < asked.consents_size(); ++i) {
    CheckConsent(asked.consents(i), StrCat("consents[", i, "]"), rules);
  }
}

void Show(const ConsentRecord& record, const TenantRow& tenant, v1::GetConsentResponse& out) {
  for (const ConsentRecord::Suppression& suppression : record.suppressions) {
    v1::Suppression& shown = *out.add_suppressions();
    shown.set_sender(AddressOf(tenant, suppression.sender_id));
    ToProto(suppression.since, *shown.mutable_since());
  }
  for (const ConsentEvent& event : record.history) {
    v1::ConsentEvent& shown = *out.add_history();
    shown.set_sender(AddressOf(tenant, event.sender_id));
    shown.set_change(static_cast<v1::ConsentChange>(event.change));
    shown.set_source(static_cast<v1::ConsentSource>(event.source));
    shown.set_evidence(event.evidence);
    shown.set_actor(event.actor);
    shown.set_reason(event.reason);
    ToProto(event.said_at, *shown.mutable_said_at());
    ToProto(event.recorded_at, *shown.mutable_recorded_at());
  }
}

/// Which list a page token is of.
std::string ListOf(const SuppressionFilter& filter) {
  return StrCat("suppressions ", filter.sender_id.ToString(), " ", filter.recipient);
}

/// A place is of a time: nanoseconds since the epoch, in the token as an id's first bytes.
PagePlace PlaceOf(const SuppressionPlace& place) {
  PagePlace out{.first = {}, .second = place.suppression_id};
  auto left = static_cast<std::uint64_t>(place.since.time_since_epoch().count());
  for (std::size_t i = sizeof(left); i-- > 0; left >>= 8U) {
    out.first.bytes[i] = static_cast<std::uint8_t>(left);
  }
  return out;
}
SuppressionPlace PlaceOf(const PagePlace& place) {
  std::uint64_t since = 0;
  for (std::size_t i = 0; i < sizeof(since); ++i) since = since << 8U | place.first.bytes[i];
  const WallTime::duration after(static_cast<WallTime::rep>(since));
  return {.since = WallTime(after), .suppression_id = place.second};
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::ListSuppressions(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* response) {
  return BeginCall<v1::ListSuppressionsRequest, v1::ListSuppressionsResponse>(
      Desk(), context, request, response, list_suppressions_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& /*caller*/, const auto& asked, auto& answer) {
        FieldRules rules;
        if (asked.tenant().empty()) rules.Violate("tenant", "is required");
        if (!asked.recipient().empty()) rules.Number("recipient", asked.recipient());
        if (asked.page_size() < 0 || asked.page_size() > kSuppressionsShown) {
          rules.Violate("page_size", StrCat("must be 0 to ", kSuppressionsShown));
        }
        const auto snapshot = parts_.tenants.Current();
        const TenantRow* const tenant = snapshot->FindByName(asked.tenant());
        SuppressionFilter filter;
        if (tenant != nullptr && !asked.sender().empty()) {
          const SenderRow* const sender = snapshot->FindSender(tenant->tenant_id, asked.sender());
          if (sender != nullptr) filter.sender_id = sender->sender_id;
          if (sender == nullptr) {
            rules.Violate("sender", "must be one of the tenant's senders, as registered");
          }
        }
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        if (tenant == nullptr) return call.Fail(TenantNotFound(asked.tenant()));
        filter.tenant_id = tenant->tenant_id;
        filter.recipient = asked.recipient();
        SuppressionPlace place;
        if (!asked.page_token().empty()) {
          const auto parsed = ParsePageToken(filter.tenant_id, ListOf(filter), asked.page_token());
          if (!parsed) return call.Fail(PageTokenInvalid());
          place = PlaceOf(*parsed);
        }
        const int size = asked.page_size() == 0 ? kSuppressionsPage : asked.page_size();
        Read(call, [this, call, &answer, snapshot, tenant, filter, place, size] {
          const auto page = parts_.store.ListSuppressions(filter, place, size);
          if (!page.ok()) return call.Fail(ErrorOfStore(page.status()));
          for (const ListedSuppression& one : page->suppressions) {
            v1::ListedSuppression& shown = *answer.add_suppressions();
            shown.set_recipient(MaskedNumber(one.recipient));
            shown.set_sender(AddressOf(*tenant, one.sender_id));
            ToProto(one.since, *shown.mutable_since());
          }
          if (page->next) {
            answer.set_next_page_token(
                EncodePageToken(filter.tenant_id, ListOf(filter), PlaceOf(*page->next)));
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::RecordConsent(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return BeginCall<v1::RecordConsentRequest, v1::RecordConsentResponse>(
      Desk(), context, request, response, record_consent_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        CheckConsents(asked, rules);
        std::vector<ConsentEvent> events(static_cast<std::size_t>(asked.consents_size()));
        for (int i = 0; i < asked.consents_size(); ++i) {
          if (!asked.consents(i).has_said_at()) continue;
          const std::string field = StrCat("consents[", i, "].said_at");
          events[static_cast<std::size_t>(i)].said_at =
              rules.Time(field, asked.consents(i).said_at()).value_or(WallTime{});
        }
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        const auto snapshot = parts_.tenants.Current();
        const TenantRow* const tenant = snapshot->FindByName(asked.tenant());
        if (tenant == nullptr) return call.Fail(TenantNotFound(asked.tenant()));
        const OperatorAction action = ActionOf(caller, asked.reason());
        ApiError unknown = SenderNotRegistered();
        for (int i = 0; i < asked.consents_size(); ++i) {
          const v1::Consent& consent = asked.consents(i);
          ConsentEvent& event = events[static_cast<std::size_t>(i)];
          if (!consent.sender().empty()) {
            const auto* sender = snapshot->FindSender(tenant->tenant_id, consent.sender());
            if (sender == nullptr) {
              if (unknown.preconditions.size() < kMaxViolations) {
                unknown.preconditions.push_back({"SENDER", StrCat("consents[", i, "].sender"),
                                                 "must be a sender of the tenant"});
              }
              continue;
            }
            event.sender_id = sender->sender_id;
          }
          event.tenant_id = tenant->tenant_id;
          event.consent_id = ConsentIdOf(tenant->tenant_id, asked.request_id(), i);
          event.recipient = consent.recipient();
          event.change = static_cast<ConsentChange>(consent.change());
          event.evidence = consent.evidence();
          event.actor = action.actor;
          event.reason = action.reason;
        }
        if (!unknown.preconditions.empty()) return call.Fail(unknown);
        Read(call, [this, call, &answer, events = std::move(events), action] {
          const absl::StatusOr<ConsentCounts> counts = parts_.store.RecordConsent(events, action);
          if (!counts.ok()) return call.Fail(ErrorOfStore(counts.status()));
          PR_LOG(kInfo, "consent recorded", {"tenant", events[0].tenant_id.ToString()},
                 {"recorded", counts->recorded}, {"opted_out", counts->opted_out},
                 {"opted_in", counts->opted_in}, {"actor", action.actor},
                 {"reason", action.reason});
          answer.set_recorded_count(counts->recorded);
          answer.set_opted_out_count(counts->opted_out);
          answer.set_opted_in_count(counts->opted_in);
          answer.set_still_opted_out_count(counts->still_opted_out);
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::GetConsent(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  return BeginCall<v1::GetConsentRequest, v1::GetConsentResponse>(
      Desk(), context, request, response, get_consent_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& /*caller*/, const auto& asked, auto& answer) {
        FieldRules rules;
        if (asked.tenant().empty()) rules.Violate("tenant", "is required");
        rules.Number("recipient", asked.recipient());
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        const auto snapshot = parts_.tenants.Current();
        const TenantRow* const tenant = snapshot->FindByName(asked.tenant());
        if (tenant == nullptr) return call.Fail(TenantNotFound(asked.tenant()));
        Read(call, [this, call, &answer, snapshot, tenant, recipient = asked.recipient()] {
          const auto record = parts_.store.FindConsent(tenant->tenant_id, recipient);
          if (!record.ok()) return call.Fail(ErrorOfStore(record.status()));
          Show(*record, *tenant, answer);
          call.Ok();
        });
      });
}

}  // namespace postrider
