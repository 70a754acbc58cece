#pragma once

#include <string>
#include <string_view>

#include "server/model/ids.h"

namespace postrider {

/// The actor of what the gateway does by itself.
inline constexpr std::string_view kOwnActor = "postrider";

/// Who does something to the running gateway, and why: a row of operator_action.
struct OperatorAction {
  Uuid action_id;      ///< UUIDv7.
  std::string actor;   ///< Name of the operator's token.
  std::string reason;  ///< In the operator's words.
};

}  // namespace postrider
