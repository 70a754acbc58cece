#include <utility>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include "server/api/admin_service.h"
#include "server/api/field_rules.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/keywords.h"

// AdminService's call about texts from recipients.
namespace postrider {

namespace {

void CheckText(const v1::RecordInboundMessageRequest& asked, FieldRules& rules) {
  if (asked.tenant().empty()) rules.Violate("tenant", "is required");
  rules.Key("request_id", asked.request_id(), kMaxRequestIdBytes, true);
  if (asked.sender().empty()) rules.Violate("sender", "is required");
  rules.Number("recipient", asked.recipient());
  rules.Text("text", asked.text(), kMaxTextCharacters);
  rules.Text("reason", asked.reason(), kMaxReasonCharacters);
}

/// The webhook that Genesys would have sent: what is kept of every text is of one shape.
std::string WebhookOf(const v1::RecordInboundMessageRequest& asked, const std::string& id) {
  google::protobuf::Struct body;
  auto& fields = *body.mutable_fields();
  fields["id"].set_string_value(id);
  fields["type"].set_string_value("Text");
  fields["direction"].set_string_value("Inbound");
  fields["text"].set_string_value(asked.text());
  auto& channel = *fields["channel"].mutable_struct_value()->mutable_fields();
  const auto party = [&channel](const char* name, const std::string& address) {
    (*channel[name].mutable_struct_value()->mutable_fields())["id"].set_string_value(address);
  };
  party("to", asked.sender());
  party("from", asked.recipient());
  if (asked.has_said_at()) {
    channel["time"].set_string_value(google::protobuf::util::TimeUtil::ToString(asked.said_at()));
  }
  std::string json;
  // A Struct of strings has nothing that JSON has not.
  static_cast<void>(google::protobuf::util::MessageToJsonString(body, &json));
  return json;
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::RecordInboundMessage(grpc::CallbackServerContext* context,
                                                             const grpc::ByteBuffer* request,
                                                             grpc::ByteBuffer* response) {
  return BeginCall<v1::RecordInboundMessageRequest, v1::RecordInboundMessageResponse>(
      Desk(), context, request, response, record_inbound_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        CheckText(asked, rules);
        NewInbound entry;
        if (asked.has_said_at()) {
          entry.text.provider_at = rules.Time("said_at", asked.said_at()).value_or(WallTime{});
        }
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        const auto snapshot = parts_.tenants.Current();
        const TenantRow* const tenant = snapshot->FindByName(asked.tenant());
        if (tenant == nullptr) return call.Fail(TenantNotFound(asked.tenant()));
        if (snapshot->FindSender(tenant->tenant_id, asked.sender()) == nullptr) {
          return call.Fail(SenderNotRegistered());
        }
        entry.text.provider_message_id = StrCat("recorded:", asked.request_id());
        entry.text.sender = asked.sender();
        entry.text.recipient = asked.recipient();
        entry.text.text = asked.text();
        entry.keyword = KeywordOf(asked.text());
        entry.new_conversation_id = {MakeUuidV4(parts_.random)};
        entry.new_message_id = {MakeUuidV7(parts_.clock.Wall(), parts_.random)};
        entry.row = {.tenant_id = tenant->tenant_id,
                     .inbox_id = {MakeUuidV7(parts_.clock.Wall(), parts_.random)},
                     .profile = tenant->profile,
                     .body = WebhookOf(asked, entry.text.provider_message_id)};
        entry.action = ActionOf(caller, asked.reason());
        Read(call, [this, call, &answer, entry = std::move(entry)] {
          const auto ends = parts_.store.RecordInbound({&entry, 1});
          if (!ends.ok()) return call.Fail(ErrorOfStore(ends.status()));
          // The directory may be some seconds behind the database.
          if (ends->front() == InboxVerdict::kDeadLetter) {
            return call.Fail(SenderNotRegistered());
          }
          const bool is_new = ends->front() == InboxVerdict::kApplied;
          if (is_new) {
            PR_LOG(kInfo, "text recorded", {"tenant", entry.row.tenant_id.ToString()},
                   {"inbox_id", entry.row.inbox_id.ToString()}, {"keyword", NameOf(entry.keyword)},
                   {"actor", entry.action->actor}, {"reason", entry.action->reason});
            answer.set_inbound_id(entry.row.inbox_id.ToString());
          }
          answer.set_keyword(static_cast<v1::Keyword>(entry.keyword));
          answer.set_deduplicated(!is_new);
          call.Ok();
        });
      });
}

}  // namespace postrider
