#include "server/base/repeated_failure.h"

#include "server/base/log.h"
#include "server/base/strings.h"

namespace postrider {

void LogFailure(RepeatedFailure& repeated, const char* event, const absl::Status& why) {
  if (!repeated.Failed()) return;
  PR_LOG(kWarning, event, {"error", ToStd(why.message())}, {"in_a_row", repeated.count()});
}

void LogWorksAgain(RepeatedFailure& repeated, const char* event) {
  const std::uint64_t failed = repeated.Worked();
  if (failed > 0) PR_LOG(kInfo, event, {"after_failures", failed});
}

}  // namespace postrider
