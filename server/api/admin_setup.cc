#include <utility>

#include "server/api/admin_service.h"
#include "server/api/field_rules.h"
#include "server/api/setup.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

// AdminService's calls about what tenants may send.
namespace postrider {

namespace {

ApiError SetupInvalid(const std::vector<SetupViolation>& violations) {
  FieldRules rules;
  for (const SetupViolation& violation : violations) {
    rules.Violate(StrCat("setup.", violation.path), violation.why);
  }
  return InvalidField(rules.Take());
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::ApplySetup(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  return BeginCall<v1::ApplySetupRequest, v1::ApplySetupResponse>(
      Desk(), context, request, response, apply_setup_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& caller, const auto& asked, auto& answer) {
        FieldRules rules;
        if (asked.tenant().empty()) rules.Violate("tenant", "is required");
        if (!asked.has_setup()) rules.Violate("setup", "is required");
        if (!asked.dry_run()) rules.Text("reason", asked.reason(), kMaxReasonCharacters);
        TenantSetup setup = FromProto(asked.setup(), rules);
        if (!rules.ok()) return call.Fail(InvalidField(rules.Take()));
        TenantId tenant;
        if (const auto error = FindTenant(asked.tenant(), tenant)) return call.Fail(*error);
        std::optional<OperatorAction> action;
        if (!asked.dry_run()) action = ActionOf(caller, asked.reason());
        Read(call, [this, call, &answer, tenant, setup = std::move(setup), action] {
          const auto applied = parts_.setups.ApplySetup(tenant, setup, action);
          if (!applied.ok()) return call.Fail(ErrorOfStore(applied.status()));
          if (!applied->violations.empty()) return call.Fail(SetupInvalid(applied->violations));
          for (const SetupChange& change : applied->changes) {
            v1::SetupChange& shown = *answer.add_changes();
            shown.set_path(change.path);
            shown.set_before(change.before);
            shown.set_after(change.after);
          }
          if (action) {
            PR_LOG(kInfo, "setup applied", {"tenant", tenant.ToString()},
                   {"changes", applied->changes.size()}, {"actor", action->actor},
                   {"reason", action->reason});
            parts_.tenants.RefreshSoon();
          }
          call.Ok();
        });
      });
}

grpc::ServerUnaryReactor* AdminService::GetSetup(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) {
  return BeginCall<v1::GetSetupRequest, v1::GetSetupResponse>(
      Desk(), context, request, response, get_setup_meter_, Scope::kOperator,
      [this](const UnaryCall& call, const Caller& /*caller*/, const auto& asked, auto& answer) {
        if (asked.tenant().empty()) return call.Fail(InvalidField({{"tenant", "is required"}}));
        Read(call, [this, call, &answer, name = asked.tenant()] {
          // As stored: what this replica goes by may be two seconds old.
          const auto tenants = parts_.store.LoadTenants();
          if (!tenants.ok()) return call.Fail(ErrorOfStore(tenants.status()));
          for (const TenantRow& tenant : *tenants) {
            if (tenant.name != name) continue;
            ToProto(SetupOf(tenant), *answer.mutable_setup());
            return call.Ok();
          }
          call.Fail(TenantNotFound(name));
        });
      });
}

}  // namespace postrider
