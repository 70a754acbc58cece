#include "client/error.h"

#include <cctype>
#include <cstdint>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include <google/protobuf/util/time_util.h>

#include "server/base/strings.h"

namespace postrider::client {
namespace {

using google::protobuf::util::TimeUtil;

constexpr char kPayload[] = "type.googleapis.com/google.rpc.Status";

void AddDetail(const google::protobuf::Any& detail, Error& error) {
  if (google::rpc::ErrorInfo info; detail.UnpackTo(&info)) {
    error.reason = info.reason();
    error.metadata.insert(info.metadata().begin(), info.metadata().end());
  } else if (google::rpc::BadRequest bad; detail.UnpackTo(&bad)) {
    for (const auto& v : bad.field_violations()) {
      error.violations.push_back({v.field(), v.description()});
    }
  } else if (google::rpc::PreconditionFailure failed; detail.UnpackTo(&failed)) {
    for (const auto& v : failed.violations()) {
      error.violations.push_back({v.subject().empty() ? v.type() : v.subject(), v.description()});
    }
  } else if (google::rpc::QuotaFailure quota; detail.UnpackTo(&quota)) {
    for (const auto& v : quota.violations()) {
      error.violations.push_back({v.subject(), v.description()});
    }
  } else if (google::rpc::RetryInfo retry; detail.UnpackTo(&retry)) {
    error.retry_after =
        std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(retry.retry_delay()));
  } else if (google::rpc::RequestInfo request; detail.UnpackTo(&request)) {
    error.server_request_id = request.request_id();
  }
}

Error Decode(absl::StatusCode code, std::string message, const std::string& details) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  google::rpc::Status rich;
  if (details.empty() || !rich.ParseFromString(details)) return error;
  for (const google::protobuf::Any& detail : rich.details()) AddDetail(detail, error);
  return error;
}

/// Whether `text` has `word` with nothing of a word or number beside it.
bool HasWord(std::string_view text, std::string_view word) {
  const auto is_part = [&](std::size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  for (std::size_t at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + 1)) {
    if (!is_part(at + word.size()) && (at == 0 || !is_part(at - 1))) return true;
  }
  return false;
}

}  // namespace

Error DecodeError(const grpc::Status& status) {
  return Decode(static_cast<absl::StatusCode>(status.error_code()), status.error_message(),
                status.error_details());
}

Error DecodeError(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  return Decode(status.code(), std::string(status.message()),
                payload.has_value() ? std::string(*payload) : std::string());
}

absl::Status ToAbslStatus(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.error_details().empty()) {
    result.SetPayload(kPayload, absl::Cord(status.error_details()));
  }
  return result;
}

std::string DescribeError(const Error& error) {
  std::string line = error.reason.empty() ? absl::StatusCodeToString(error.code) : error.reason;
  if (!error.message.empty()) StrAppend(line, ": ", error.message);
  bool first = true;
  for (const Violation& v : error.violations) {
    StrAppend(line, first ? " - " : "; ", v.subject, ": ", v.description);
    first = false;
  }
  std::string more;
  for (const auto& [name, value] : error.metadata) {
    const bool of_programs = name.ends_with("resume_token") || name == "fields" || name == "rules";
    if (of_programs || value.empty() || HasWord(line, value)) continue;
    StrAppend(more, more.empty() ? " - " : ", ", name, " ", value);
  }
  line += more;
  if (!error.server_request_id.empty()) {
    StrAppend(line, " (request ", error.server_request_id, ")");
  }
  return Printable(line);
}

std::string Printable(std::string_view text) {
  std::string shown(text);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(shown[i]);
    // U+0080 to U+009F are control characters too: C2 80 to C2 9F.
    const bool c1 =
        byte == 0xC2 && i + 1 < shown.size() && static_cast<std::uint8_t>(shown[i + 1]) < 0xA0;
    if (byte < 0x20 || byte == 0x7F) shown[i] = '?';
    if (c1) shown.replace(i, 2, "?");
  }
  return shown;
}

}  // namespace postrider::client
