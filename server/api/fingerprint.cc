#include <cstdint>

#include "server/api/validate.h"
#include "server/base/digest.h"
#include "server/policy/plain_punctuation.h"

namespace postrider {

namespace {

constexpr char kVersion = '\1';

/// Every value with its length in front, so that no two lists of values look alike.
class Canonical {
 public:
  void Add(std::string_view value) {
    AddNumber(value.size());
    text_ += value;
  }
  void AddNumber(std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      text_.push_back(static_cast<char>((value >> shift) & 0xff));
    }
  }
  void AddTime(WallTime time) {
    const auto since_epoch = time.time_since_epoch();
    AddNumber(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count()));
  }
  std::string Digest() const { return Sha256Bytes(text_); }

 private:
  std::string text_{kVersion};
};

}  // namespace

std::string FingerprintOf(const MessageRequest& request) {
  // Stored for 30 days: another order or field needs another version.
  Canonical canonical;
  canonical.Add(request.recipient);
  canonical.Add(request.sender);
  canonical.Add(request.text);
  canonical.Add(request.conversation_id.IsNil() ? "" : request.conversation_id.ToString());
  canonical.Add(request.external_contact_id);
  canonical.Add(request.campaign_id);
  canonical.AddNumber(request.metadata.size());
  for (const auto& [key, value] : request.metadata) {
    canonical.Add(key);
    canonical.Add(value);
  }
  canonical.AddNumber(static_cast<std::uint64_t>(request.priority));
  canonical.AddNumber(static_cast<std::uint64_t>(request.duplicate_policy));
  canonical.AddTime(request.not_before);
  canonical.AddTime(request.expire_at);
  canonical.Add(request.time_zone);
  return canonical.Digest();
}

std::vector<std::string> DifferingFields(const MessageRequest& first,
                                         const MessageRequest& repeat) {
  std::vector<std::string> fields;
  const auto compare = [&fields](const char* name, const auto& a, const auto& b) {
    if (a != b) fields.emplace_back(name);
  };
  compare("recipient", first.recipient, repeat.recipient);
  compare("sender", first.sender, repeat.sender);
  // Stored is what is sent: maybe with plain punctuation, whatever the tenant has set meanwhile.
  if (first.text != WithPlainPunctuation(repeat.text)) compare("text", first.text, repeat.text);
  if (!repeat.conversation_id.IsNil()) {
    compare("conversation_id", first.conversation_id, repeat.conversation_id);
  }
  compare("external_contact_id", first.external_contact_id, repeat.external_contact_id);
  compare("campaign_id", first.campaign_id, repeat.campaign_id);
  compare("metadata", first.metadata, repeat.metadata);
  compare("priority", first.priority, repeat.priority);
  compare("duplicate_policy", first.duplicate_policy, repeat.duplicate_policy);
  compare("not_before", first.not_before, repeat.not_before);
  compare("expire_at", first.expire_at, repeat.expire_at);
  compare("time_zone", first.time_zone, repeat.time_zone);
  return fields;
}

}  // namespace postrider
