#include <algorithm>
#include <utility>

#include "server/api/field_rules.h"
#include "server/api/validate.h"
#include "server/base/strings.h"
#include "server/fanout/resume_token.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

using Strings = google::protobuf::RepeatedPtrField<std::string>;

bool Fits(std::string_view field, const Strings& values, FieldRules& rules) {
  if (static_cast<std::size_t>(values.size()) <= kMaxMessageIdsInFilter) return true;
  rules.Violate(field,
                StrCat("must have ", kMaxMessageIdsInFilter, " at most, not ", values.size()));
  return false;
}

std::string At(std::string_view field, int index) { return StrCat(field, "[", index, "]"); }

template <typename AnyId>
std::vector<AnyId> IdsOf(std::string_view field, const Strings& values, FieldRules& rules) {
  std::vector<AnyId> ids;
  if (!Fits(field, values, rules)) return ids;
  for (int i = 0; i < values.size(); ++i) {
    const absl::StatusOr<AnyId> id = AnyId::Parse(values[i]);
    if (id.ok()) {
      ids.push_back(*id);
    } else {
      rules.Violate(At(field, i), std::string(ToStd(id.status().message())));
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

EventFilter FilterOf(const v1::StreamStatusRequest& request, TenantId tenant, FieldRules& rules) {
  EventFilter filter;
  filter.tenant_id = tenant;
  filter.message_ids = IdsOf<MessageId>("message_ids", request.message_ids(), rules);
  filter.conversation_ids =
      IdsOf<ConversationId>("conversation_ids", request.conversation_ids(), rules);
  if (Fits("external_contact_ids", request.external_contact_ids(), rules)) {
    for (int i = 0; i < request.external_contact_ids_size(); ++i) {
      const std::string& contact = request.external_contact_ids(i);
      if (contact.empty()) rules.Violate(At("external_contact_ids", i), "must not be empty");
      rules.Bytes(At("external_contact_ids", i), contact, kMaxExternalContactIdBytes);
      filter.external_contact_ids.push_back(contact);
    }
  }
  rules.Key("campaign_id", request.campaign_id(), kMaxCampaignIdBytes, false);
  filter.campaign_id = request.campaign_id();
  for (int i = 0; i < request.states_size(); ++i) {
    const int state = request.states(i);
    if (!v1::MessageState_IsValid(state) || state == v1::MESSAGE_STATE_UNSPECIFIED) {
      rules.Violate(At("states", i), "is not a state of a message");
      continue;
    }
    const auto value = static_cast<MessageState>(state);
    const bool told =
        std::find(filter.states.begin(), filter.states.end(), value) != filter.states.end();
    if (!told) filter.states.push_back(value);
  }
  return filter;
}

std::chrono::nanoseconds IntervalOf(const v1::StreamStatusRequest& request, FieldRules& rules) {
  if (!request.has_checkpoint_interval()) return kCheckpointDefault;
  const auto& asked = request.checkpoint_interval();
  const bool sane = asked.seconds() >= 0 && asked.seconds() <= kCheckpointLongest.count() &&
                    asked.nanos() >= 0 && asked.nanos() <= 999'999'999;
  const std::chrono::nanoseconds interval =
      sane ? std::chrono::seconds(asked.seconds()) + std::chrono::nanoseconds(asked.nanos())
           : std::chrono::nanoseconds(0);
  if (interval < kCheckpointShortest || interval > kCheckpointLongest) {
    rules.Violate("checkpoint_interval", "must be from 5 s to 60 s");
  }
  return interval;
}

}  // namespace

Result<StreamQuery> Validate(const v1::StreamStatusRequest& request, TenantId tenant) {
  FieldRules rules;
  StreamQuery query;
  query.filter = FilterOf(request, tenant, rules);
  query.checkpoint_interval = IntervalOf(request, rules);
  query.include_snapshot = request.include_snapshot();
  query.until_final = request.until_final();
  query.resumes = !request.resume_token().empty();
  if (query.resumes && query.include_snapshot) {
    rules.Violate("include_snapshot", "must not be set together with resume_token");
  }
  if (query.until_final && request.message_ids().empty()) {
    rules.Violate("message_ids", "is required with until_final");
  }
  if (!rules.ok()) return InvalidField(rules.Take());
  if (query.resumes) {
    const absl::StatusOr<EventPosition> position = ParseResumeToken(request.resume_token(), tenant);
    if (!position.ok()) {
      ApiError error =
          InvalidField({{"resume_token", std::string(ToStd(position.status().message()))}});
      error.reason = "RESUME_TOKEN_INVALID";
      return error;
    }
    query.position = *position;
  }
  return query;
}

}  // namespace postrider
