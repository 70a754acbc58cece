#pragma once

#include "postrider/v1/setup.pb.h"
#include "server/api/field_rules.h"
#include "server/model/tenant_setup.h"

namespace postrider {

/// The contract's words to ours. Values of enums and times that are none are violations of `rules`;
/// all else is for CheckSetup.
TenantSetup FromProto(const v1::TenantSetup& setup, FieldRules& rules);
/// Pure.
void ToProto(const TenantSetup& setup, v1::TenantSetup& out);

}  // namespace postrider
