#include "client/cli/fields.h"

#include <cctype>
#include <cstdint>

#include <google/protobuf/util/time_util.h>

#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

using v1::SendMessageRequest;

constexpr std::string_view kMetadataPrefix = "metadata.";
constexpr std::string_view kValuePrefix = "value.";

bool IsBelow(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) && name.size() > prefix.size();
}

std::string* MutableText(SendMessageRequest& request, std::string_view name) {
  if (name == "recipient") return request.mutable_recipient();
  if (name == "sender") return request.mutable_sender();
  if (name == "text") return request.mutable_text();
  if (name == "request_id") return request.mutable_request_id();
  if (name == "conversation_id") return request.mutable_conversation_id();
  if (name == "external_contact_id") return request.mutable_external_contact_id();
  if (name == "campaign_id") return request.mutable_campaign_id();
  if (name == "time_zone") return request.mutable_time_zone();
  return nullptr;
}

/// "at_least_once" is "DUPLICATE_POLICY_AT_LEAST_ONCE" for the prefix "DUPLICATE_POLICY_".
std::string EnumNameOf(std::string_view text, std::string_view prefix) {
  std::string name(text);
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name.starts_with(prefix) ? name : StrCat(prefix, name);
}

absl::Status SetTime(google::protobuf::Timestamp& time, std::string_view name,
                     std::string_view text) {
  if (google::protobuf::util::TimeUtil::FromString(std::string(text), &time)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat(name, ": '", text, "' is not a time such as 2026-03-01T09:00:00Z"));
}

absl::Status SetPriority(SendMessageRequest& request, std::string_view text) {
  v1::Priority priority = v1::PRIORITY_UNSPECIFIED;
  if (!v1::Priority_Parse(EnumNameOf(text, "PRIORITY_"), &priority)) {
    return absl::InvalidArgumentError(
        StrCat("priority: '", text, "' is not one of urgent, normal, bulk"));
  }
  request.set_priority(priority);
  return absl::OkStatus();
}

absl::Status SetPolicy(SendMessageRequest& request, std::string_view text) {
  v1::DuplicatePolicy policy = v1::DUPLICATE_POLICY_UNSPECIFIED;
  if (!v1::DuplicatePolicy_Parse(EnumNameOf(text, "DUPLICATE_POLICY_"), &policy)) {
    return absl::InvalidArgumentError(
        StrCat("duplicate_policy: '", text, "' is not one of at_most_once, at_least_once"));
  }
  request.set_duplicate_policy(policy);
  return absl::OkStatus();
}

/// The length of the UTF-8 character that `text` begins with; 0 when it begins with none.
std::size_t CharacterLength(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead < 0xC2   ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies above U+10FFFF.
  if (lead == 0xE0 && byte(1) < 0xA0) return 0;
  if (lead == 0xED && byte(1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(1) < 0x90) return 0;
  if (lead == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

}  // namespace

const char kFieldNames[] =
    "recipient, sender, text, request_id, conversation_id, external_contact_id, campaign_id, "
    "priority, not_before, expire_at, time_zone, duplicate_policy, metadata.KEY, template, "
    "value.PLACE";

bool IsFieldName(std::string_view name) {
  SendMessageRequest scratch;
  return IsBelow(name, kMetadataPrefix) || IsBelow(name, kValuePrefix) || name == "template" ||
         name == "priority" || name == "not_before" || name == "expire_at" ||
         name == "duplicate_policy" || MutableText(scratch, name) != nullptr;
}

absl::Status SetField(SendMessageRequest& request, std::string_view name, std::string_view text) {
  if (text.empty()) return absl::OkStatus();
  if (!IsFieldName(name)) {
    return absl::InvalidArgumentError(
        StrCat("'", name, "' is not a field; there are ", kFieldNames));
  }
  if (const auto bad = FirstBadByte(text); bad.has_value()) {
    return absl::InvalidArgumentError(
        StrCat(name, ": byte ", *bad + 1, text[*bad] == '\0' ? " is a NUL" : " is not UTF-8"));
  }
  if (name == "priority") return SetPriority(request, text);
  if (name == "duplicate_policy") return SetPolicy(request, text);
  if (name == "not_before") return SetTime(*request.mutable_not_before(), name, text);
  if (name == "expire_at") return SetTime(*request.mutable_expire_at(), name, text);
  const bool of_template = name == "template" || name.starts_with(kValuePrefix);
  if (of_template ? request.has_text() : name == "text" && request.has_template_()) {
    return absl::InvalidArgumentError(
        StrCat(name, ": a message has a text or a template, not both"));
  }
  if (name == "template") {
    request.mutable_template_()->set_name(std::string(text));
  } else if (of_template) {
    (*request.mutable_template_()
          ->mutable_values())[std::string(name.substr(kValuePrefix.size()))] = text;
  } else if (name.starts_with(kMetadataPrefix)) {
    (*request.mutable_metadata())[std::string(name.substr(kMetadataPrefix.size()))] = text;
  } else {
    *MutableText(request, name) = text;
  }
  return absl::OkStatus();
}

std::optional<std::size_t> FirstBadByte(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = text[i] == '\0' ? 0 : CharacterLength(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

}  // namespace postrider::cli
