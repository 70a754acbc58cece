#include "client/cli/derived_id.h"

#include <cctype>
#include <cstring>
#include <map>
#include <string_view>

#include <google/protobuf/util/time_util.h>

#include "server/base/digest.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

using google::protobuf::util::TimeUtil;

std::map<std::string, std::string> NormalisedFields(const v1::SendMessageRequest& request) {
  std::map<std::string, std::string> fields;
  const auto add = [&fields](const std::string& name, const std::string& value) {
    if (!value.empty()) fields[name] = value;
  };
  add("recipient", request.recipient());
  add("sender", request.sender());
  add("text", request.text());
  add("template", request.template_().name());
  for (const auto& [place, value] : request.template_().values()) fields["value." + place] = value;
  std::string conversation_id = request.conversation_id();
  for (char& c : conversation_id) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  add("conversation_id", conversation_id);
  add("external_contact_id", request.external_contact_id());
  add("campaign_id", request.campaign_id());
  add("time_zone", request.time_zone());
  for (const auto& [key, value] : request.metadata()) fields["metadata." + key] = value;
  if (request.has_not_before()) add("not_before", TimeUtil::ToString(request.not_before()));
  if (request.has_expire_at()) add("expire_at", TimeUtil::ToString(request.expire_at()));
  if (request.priority() != v1::PRIORITY_UNSPECIFIED && request.priority() != v1::PRIORITY_NORMAL) {
    add("priority", StrCat(static_cast<int>(request.priority())));
  }
  if (request.duplicate_policy() != v1::DUPLICATE_POLICY_UNSPECIFIED &&
      request.duplicate_policy() != v1::DUPLICATE_POLICY_AT_MOST_ONCE) {
    add("duplicate_policy", StrCat(static_cast<int>(request.duplicate_policy())));
  }
  return fields;
}

}  // namespace

std::optional<std::string> DerivedIds::NextOf(const v1::SendMessageRequest& request) {
  // Lengths before the bytes: no text can look like two fields.
  std::string image = StrCat("run=", run_.size(), ":", run_, "\n");
  for (const auto& [name, value] : NormalisedFields(request)) {
    StrAppend(image, name.size(), ":", name, "=", value.size(), ":", value, "\n");
  }
  const std::string digest = Sha256Bytes(image);
  std::uint64_t key = 0;
  std::memcpy(&key, digest.data(), sizeof(key));
  std::uint32_t occurrence = 1;
  if (seen_.contains(key)) {
    occurrence = ++repeats_.try_emplace(key, 1).first->second;
  } else {
    if (seen_.size() >= kMaxLines) return std::nullopt;
    seen_.insert(key);
  }
  return StrCat("line-", HexOf(std::string_view(digest).substr(0, 20)), "-", occurrence);
}

}  // namespace postrider::cli
