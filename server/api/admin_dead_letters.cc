#include <utility>

#include "server/api/admin_service.h"
#include "server/api/dead_letters.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

// AdminService's calls about dead letters.
namespace postrider {

namespace {

ApiError DeadLetterNotFound() {
  ApiError error;
  error.code = absl::StatusCode::kNotFound;
  error.reason = "DEAD_LETTER_NOT_FOUND";
  error.message = "the tenant has no such dead letter, or it was replayed or discarded";
  return error;
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::ListDeadLetters(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return BeginCall<v1::ListDeadLettersRequest, v1::ListDeadLettersResponse>(
      Desk(), context, request, response, list_letters_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller&, const auto& asked, auto& answer) {
        FieldRules rules;
        DeadLetterFilter filter = FilterOf(asked.filter(), TenantNeed::kRequired, rules);
        if (asked.page_size() < 0 || asked.page_size() > kDeadLettersShown) {
          rules.Violate("page_size", StrCat("must be 0 to ", kDeadLettersShown));
        }
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        DeadLetterPlace place;
        if (!asked.page_token().empty()) {
          const std::optional<DeadLetterPlace> parsed = ParsePageToken(asked.page_token());
          if (!parsed) return call.Fail(PageTokenInvalid());
          place = *parsed;
        }
        if (const auto error = FindTenant(asked.filter().tenant(), filter.tenant_id)) {
          return call.Fail(*error);
        }
        const int size = asked.page_size() == 0 ? kDeadLettersPage : asked.page_size();
        Read(call, [this, call, &answer, filter, place, size] {
          const auto letters = parts_.store.ListDeadLetters(filter, place, size + 1);
          if (!letters.ok()) return call.Fail(ErrorOfStore(letters.status()));
          for (const DeadLetter& letter : *letters) {
            if (answer.dead_letters_size() == size) break;
            ToProto(letter, *answer.add_dead_letters());
          }
          if (letters->size() > static_cast<std::size_t>(size)) {
            answer.set_next_page_token(PageTokenOf((*letters)[static_cast<std::size_t>(size) - 1]));
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::GroupDeadLetters(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* response) {
  return BeginCall<v1::GroupDeadLettersRequest, v1::GroupDeadLettersResponse>(
      Desk(), context, request, response, group_letters_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller&, const auto& asked, auto& answer) {
        FieldRules rules;
        DeadLetterFilter filter = FilterOf(asked.filter(), TenantNeed::kOptional, rules);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        if (!asked.filter().tenant().empty()) {
          const auto error = FindTenant(asked.filter().tenant(), filter.tenant_id);
          if (error) return call.Fail(*error);
        }
        Read(call, [this, call, &answer, filter] {
          const auto groups = parts_.store.GroupDeadLetters(filter);
          if (!groups.ok()) return call.Fail(ErrorOfStore(groups.status()));
          const auto tenants = parts_.tenants.Current();
          for (const DeadLetterGroup& group : *groups) {
            v1::DeadLetterGroup& out = *answer.add_groups();
            ToProto(group, out);
            const TenantRow* const tenant = tenants->Find(group.tenant_id);
            if (tenant != nullptr) out.set_tenant(tenant->name);
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::GetDeadLetter(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return BeginCall<v1::GetDeadLetterRequest, v1::GetDeadLetterResponse>(
      Desk(), context, request, response, get_letter_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        if (asked.unmask() && !HasScope(*caller.token, Scope::kUnmask)) {
          return call.Fail(ScopeMissing(Scope::kUnmask));
        }
        FieldRules rules;
        if (asked.tenant().empty()) rules.Violate("tenant", "is required");
        const absl::StatusOr<DeadLetterId> id = DeadLetterId::Parse(asked.dead_letter_id());
        if (!id.ok()) rules.Violate("dead_letter_id", "is required, a UUID");
        if (asked.unmask()) rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        TenantId tenant;
        if (const auto error = FindTenant(asked.tenant(), tenant)) return call.Fail(*error);
        Read(call, [this, call, &answer, tenant, id = *id, unmask = asked.unmask(),
                    action = ActionOf(caller, asked.reason())] {
          // On record before anything of it is shown.
          const auto letter = unmask ? parts_.store.UnmaskDeadLetter(tenant, id, action)
                                     : parts_.store.FindDeadLetter(tenant, id);
          if (absl::IsNotFound(letter.status())) return call.Fail(DeadLetterNotFound());
          if (!letter.ok()) return call.Fail(ErrorOfStore(letter.status()));
          if (unmask) {
            PR_LOG(kInfo, "dead letter unmasked", {"dead_letter_id", id.ToString()},
                   {"actor", action.actor}, {"reason", action.reason});
          }
          ToProto(*letter, *answer.mutable_dead_letter());
          answer.set_body(unmask ? ShownBody(letter->body) : MaskedBody(letter->body));
          if (letter->source == kSendSource) {
            const auto record = parts_.store.GetMessage({tenant, {id.uuid}});
            if (record.ok()) {
              ToProto(*record, unmask, *answer.mutable_send());
            } else if (!absl::IsNotFound(record.status())) {
              return call.Fail(ErrorOfStore(record.status()));
            }
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::ReplayDeadLetters(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* response) {
  return BeginCall<v1::ReplayDeadLettersRequest, v1::ReplayDeadLettersResponse>(
      Desk(), context, request, response, replay_letters_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        DeadLetterChoice choice = ChoiceOf(asked, rules);
        if (asked.rate_per_s() < 0 || asked.rate_per_s() > kReplayRateMost) {
          rules.Violate("rate_per_s", StrCat("must be 0 to ", kReplayRateMost));
        }
        rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        if (const auto error = FindTenant(asked.filter().tenant(), choice.filter.tenant_id)) {
          return call.Fail(*error);
        }
        const int rate = asked.rate_per_s() == 0 ? kReplayRate : asked.rate_per_s();
        Read(call, [this, call, &answer, choice, dry_run = asked.dry_run(),
                    apart = std::chrono::microseconds(1'000'000 / rate),
                    action = ActionOf(caller, asked.reason())] {
          if (dry_run) {
            const auto count = parts_.store.CountDeadLetters(choice, false);
            if (!count.ok()) return call.Fail(ErrorOfStore(count.status()));
            answer.set_replayed_count(*count);
            return call.Ok();
          }
          const auto change = parts_.store.ReplayDeadLetters(choice, apart, action);
          if (!change.ok()) return call.Fail(ErrorOfStore(change.status()));
          PR_LOG(kInfo, "dead letters replayed", {"tenant", choice.filter.tenant_id.ToString()},
                 {"count", change->changed}, {"actor", action.actor}, {"reason", action.reason});
          answer.set_replayed_count(change->changed);
          answer.set_has_more(change->has_more);
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::DiscardDeadLetters(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer* request,
                                                           grpc::ByteBuffer* response) {
  return BeginCall<v1::DiscardDeadLettersRequest, v1::DiscardDeadLettersResponse>(
      Desk(), context, request, response, discard_letters_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        DeadLetterChoice choice = ChoiceOf(asked, rules);
        rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        if (const auto error = FindTenant(asked.filter().tenant(), choice.filter.tenant_id)) {
          return call.Fail(*error);
        }
        Read(call, [this, call, &answer, choice, dry_run = asked.dry_run(),
                    action = ActionOf(caller, asked.reason())] {
          if (dry_run) {
            const auto count = parts_.store.CountDeadLetters(choice, true);
            if (!count.ok()) return call.Fail(ErrorOfStore(count.status()));
            answer.set_discarded_count(*count);
            return call.Ok();
          }
          const auto change = parts_.store.DiscardDeadLetters(choice, action);
          if (!change.ok()) return call.Fail(ErrorOfStore(change.status()));
          PR_LOG(kInfo, "dead letters discarded", {"tenant", choice.filter.tenant_id.ToString()},
                 {"count", change->changed}, {"actor", action.actor}, {"reason", action.reason});
          answer.set_discarded_count(change->changed);
          answer.set_has_more(change->has_more);
          call.Ok();
        });
      });
}

}  // namespace postrider
