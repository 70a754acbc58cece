#include "server/model/message.h"

namespace postrider {

std::string_view NameOf(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::kAccepted:
      return "ACCEPTED";
    case OutcomeKind::kNotSent:
      return "NOT_SENT";
    case OutcomeKind::kRejected:
      return "REJECTED";
    case OutcomeKind::kHeld:
      return "HELD";
    case OutcomeKind::kUnknown:
      return "UNKNOWN";
    case OutcomeKind::kTakenBack:
      return "TAKEN_BACK";
  }
  return "UNSPECIFIED";
}

}  // namespace postrider
