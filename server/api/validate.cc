#include "server/api/validate.h"

#include <algorithm>
#include <utility>

#include "server/api/field_rules.h"
#include "server/api/time_zones.h"
#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "server/model/campaign_limits.h"
#include "server/model/limits.h"
#include "server/policy/message_template.h"

namespace postrider {

namespace {

constexpr std::string_view kReservedPrefix = "postrider";

/// Of a UUID field that may be empty.
template <typename AnyId>
AnyId IdOf(std::string_view field, const std::string& text, FieldRules& rules) {
  if (text.empty()) return {};
  const absl::StatusOr<AnyId> id = AnyId::Parse(text);
  if (!id.ok()) {
    rules.Violate(field, std::string(ToStd(id.status().message())));
    return {};
  }
  if (id->IsNil()) rules.Violate(field, "must not be the nil UUID");
  return *id;
}

void CheckMetadata(const v1::SendMessageRequest& request, FieldRules& rules) {
  const auto& pairs = request.metadata();
  if (pairs.size() > kMaxMetadataPairs) {
    rules.Violate("metadata",
                  StrCat("must have ", kMaxMetadataPairs, " pairs at most, not ", pairs.size()));
    return;
  }
  for (const auto& [key, value] : pairs) {
    const std::string field = NameOfPair("metadata", key);
    if (key.empty()) rules.Violate("metadata", "must not have an empty key");
    rules.Bytes(field, key, kMaxMetadataKeyBytes);
    if (key.compare(0, kReservedPrefix.size(), kReservedPrefix) == 0) {
      rules.Violate(field, "is reserved: keys must not begin with \"postrider\"");
    }
    rules.Bytes(field, value, kMaxMetadataValueBytes);
  }
}

void CheckTimes(const v1::SendMessageRequest& request, std::optional<WallTime> now,
                MessageRequest& out, FieldRules& rules) {
  if (request.has_not_before()) {
    if (const auto time = rules.Time("not_before", request.not_before())) {
      out.not_before = *time;
      if (now && *time > *now + kMaxScheduleAhead) {
        rules.Violate("not_before", "must be 30 days ahead at most");
      }
    }
  }
  if (request.has_expire_at()) {
    if (const auto time = rules.Time("expire_at", request.expire_at())) {
      out.expire_at = *time;
      if (now && *time <= *now) {
        rules.Violate("expire_at", "must lie ahead");
      } else if (*time <= out.not_before) {
        rules.Violate("expire_at", "must be after not_before");
      }
    }
  }
}

void CheckChoices(const v1::SendMessageRequest& request, MessageRequest& out, FieldRules& rules) {
  if (!v1::Priority_IsValid(request.priority())) {
    rules.Violate("priority", "is not a value of Priority");
  } else if (request.priority() != v1::PRIORITY_UNSPECIFIED) {
    out.priority = static_cast<Priority>(request.priority());
  }
  if (!v1::DuplicatePolicy_IsValid(request.duplicate_policy())) {
    rules.Violate("duplicate_policy", "is not a value of DuplicatePolicy");
  } else if (request.duplicate_policy() != v1::DUPLICATE_POLICY_UNSPECIFIED) {
    out.duplicate_policy = static_cast<DuplicatePolicy>(request.duplicate_policy());
  }
  if (!request.time_zone().empty() &&
      (request.time_zone().size() > kMaxTimeZoneBytes || !IsTimeZoneName(request.time_zone()))) {
    rules.Violate("time_zone", "must be an IANA time zone, such as America/New_York");
  }
}

/// Sets the template that is named, if its name and values may be one's.
void CheckTemplate(const v1::TemplateContent& content, MessageRequest& out, FieldRules& rules) {
  rules.Key("template.name", content.name(), kMaxTemplateNameBytes, true);
  // Of names that are too long or no names nothing is told but that.
  const std::size_t kept = content.values().size();
  if (kept > kMaxPlaces) {
    rules.Violate("template.values", StrCat("must be ", kMaxPlaces, " at most, not ", kept));
    return;
  }
  for (const auto& [place, value] : content.values()) {
    if (!IsPlaceName(place)) {
      rules.Violate(NameOfPair("template.values", place),
                    StrCat("is no name of a place: 1 to ", kMaxPlaceNameBytes, " of [a-z0-9_]"));
    }
  }
  out.template_name = content.name();
  out.template_values.insert(content.values().begin(), content.values().end());
}

/// The text of `asked`'s template; a violation says why there is none.
std::string FilledIn(const MessageRequest& asked, const TenantRow& tenant, FieldRules& rules) {
  const auto found =
      std::find_if(tenant.templates.begin(), tenant.templates.end(),
                   [&](const MessageTemplate& one) { return one.name == asked.template_name; });
  if (found == tenant.templates.end()) {
    rules.Violate("template.name", "is none of the tenant's templates");
    return "";
  }
  const absl::StatusOr<ParsedTemplate> parsed = ParsedTemplate::Parse(found->text);
  const absl::StatusOr<std::string> text =
      parsed.ok() ? parsed->Fill(asked.template_values) : parsed.status();
  if (!text.ok()) {
    rules.Violate("template.values", std::string(ToStd(text.status().message())));
    return "";
  }
  rules.Text("template", *text, kMaxTextCharacters);
  return *text;
}

/// The text as given, or by the template that is named. What is not new was in order once: its
/// template may be gone since, or not take its values any more.
void CheckContent(const v1::SendMessageRequest& request, const TenantRow& tenant, bool is_new,
                  MessageRequest& out, FieldRules& rules) {
  if (!request.has_template_()) {
    rules.Text("text", request.text(), kMaxTextCharacters);
    out.text = request.text();
    return;
  }
  CheckTemplate(request.template_(), out, rules);
  if (!rules.ok()) return;
  FieldRules since;
  out.text = FilledIn(out, tenant, is_new ? rules : since);
}

ApiError SenderError(const std::string& sender, const TenantRow& tenant,
                     const TenantSnapshot& tenants) {
  ApiError error;
  error.metadata["sender"] = sender;
  if (tenants.BelongsToAnother(tenant.tenant_id, sender)) {
    error.code = absl::StatusCode::kPermissionDenied;
    error.reason = "SENDER_NOT_ALLOWED";
    error.message = "the sender is not this tenant's";
    return error;
  }
  error.code = absl::StatusCode::kFailedPrecondition;
  error.reason = "SENDER_NOT_REGISTERED";
  error.message = "the sender is not registered; an operator can add it to the tenant";
  error.preconditions.push_back({"SENDER", sender, "must be one of the tenant's senders"});
  return error;
}

}  // namespace

Result<MessageRequest> Validate(const v1::SendMessageRequest& request, const TenantRow& tenant,
                                const TenantSnapshot& tenants, std::optional<WallTime> now) {
  FieldRules rules;
  MessageRequest out;
  rules.Key("request_id", request.request_id(), kMaxRequestIdBytes, true);
  rules.Number("recipient", request.recipient());
  if (request.sender().empty()) rules.Violate("sender", "is required");
  rules.Bytes("sender", request.sender(), kMaxSenderBytes);
  CheckContent(request, tenant, now.has_value(), out, rules);
  out.conversation_id = IdOf<ConversationId>("conversation_id", request.conversation_id(), rules);
  rules.Bytes("external_contact_id", request.external_contact_id(), kMaxExternalContactIdBytes);
  CheckMetadata(request, rules);
  rules.Key("campaign_id", request.campaign_id(), kMaxCampaignIdBytes, false);
  CheckTimes(request, now, out, rules);
  CheckChoices(request, out, rules);

  const bool fields_ok = rules.ok();
  if (tenant.strict && request.conversation_id().empty()) {
    rules.Violate("conversation_id", "is required: the tenant is strict");
  }
  if (!rules.ok()) {
    ApiError error = InvalidField(rules.Take());
    if (fields_ok) error.reason = "CONVERSATION_REQUIRED";
    return error;
  }
  const SenderRow* sender = tenants.FindSender(tenant.tenant_id, request.sender());
  // What was accepted from it before still was.
  if (sender == nullptr || (now && !sender->active))
    return SenderError(request.sender(), tenant, tenants);

  out.tenant_id = tenant.tenant_id;
  out.request_id = request.request_id();
  out.recipient = request.recipient();
  out.sender_id = sender->sender_id;
  out.sender = sender->address;
  out.external_contact_id = request.external_contact_id();
  out.campaign_id = request.campaign_id();
  out.metadata.insert(request.metadata().begin(), request.metadata().end());
  out.time_zone = request.time_zone();
  return out;
}

Result<StatusQuery> Validate(const v1::GetStatusRequest& request) {
  FieldRules rules;
  StatusQuery query;
  switch (request.key_case()) {
    case v1::GetStatusRequest::kMessageId:
      if (request.message_id().empty()) rules.Violate("message_id", "is required");
      query.message_id = IdOf<MessageId>("message_id", request.message_id(), rules);
      break;
    case v1::GetStatusRequest::kRequestId:
      rules.Key("request_id", request.request_id(), kMaxRequestIdBytes, true);
      query.request_id = request.request_id();
      break;
    case v1::GetStatusRequest::KEY_NOT_SET:
      rules.Violate("key", "is required: message_id or request_id");
  }
  if (!rules.ok()) return InvalidField(rules.Take());
  return query;
}

Result<StatusQuery> Validate(const v1::ExplainMessageRequest& request) {
  v1::GetStatusRequest same;
  if (request.key_case() == v1::ExplainMessageRequest::kMessageId) {
    same.set_message_id(request.message_id());
  } else if (request.key_case() == v1::ExplainMessageRequest::kRequestId) {
    same.set_request_id(request.request_id());
  }
  return Validate(same);
}

Result<MessageId> Validate(const v1::CancelMessageRequest& request) {
  FieldRules rules;
  if (request.message_id().empty()) rules.Violate("message_id", "is required");
  const MessageId id = IdOf<MessageId>("message_id", request.message_id(), rules);
  if (!rules.ok()) return InvalidField(rules.Take());
  return id;
}

}  // namespace postrider
