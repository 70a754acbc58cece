#include "server/model/consent.h"

namespace postrider {

std::string_view NameOf(ConsentChange change) {
  return change == ConsentChange::kOptOut ? "OPT_OUT" : "OPT_IN";
}

std::string_view NameOf(ConsentSource source) {
  switch (source) {
    case ConsentSource::kKeyword:
      return "KEYWORD";
    case ConsentSource::kReceipt:
      return "RECEIPT";
    case ConsentSource::kRecorded:
      return "RECORDED";
  }
  return "";
}

std::string_view NameOf(OptOutScope scope) {
  return scope == OptOutScope::kSender ? "sender" : "tenant";
}

}  // namespace postrider
