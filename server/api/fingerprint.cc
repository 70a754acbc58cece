#include <cstdint>

#include "server/api/validate.h"
#include "server/base/digest.h"
#include "server/policy/plain_punctuation.h"

namespace postrider {

namespace {

constexpr char kOfText = '\1';
/// What was asked for counts, not the text that the template gave then: it may be another by now.
constexpr char kOfTemplate = '\2';

/// Every value with its length in front, so that no two lists of values look alike.
class Canonical {
 public:
  explicit Canonical(char version) : text_{version} {}

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
  std::string text_;
};

void AddPairs(Canonical& canonical, const Metadata& pairs) {
  canonical.AddNumber(pairs.size());
  for (const auto& [key, value] : pairs) {
    canonical.Add(key);
    canonical.Add(value);
  }
}

/// Whether `repeat`, by the same template, has the values of `first`. Of those nothing is kept but
/// the fingerprint; the conversation that `first` named may be none.
bool HasValuesOf(const MessageRequest& first, std::string_view fingerprint,
                 const MessageRequest& repeat) {
  MessageRequest tried = first;
  tried.template_values = repeat.template_values;
  if (FingerprintOf(tried) == fingerprint) return true;
  tried.conversation_id = {};
  return FingerprintOf(tried) == fingerprint;
}

bool IsSameInConversation(std::string_view fingerprint, MessageRequest repeat, ConversationId id) {
  repeat.conversation_id = id;
  return FingerprintOf(repeat) == fingerprint;
}

}  // namespace

std::string FingerprintOf(const MessageRequest& request) {
  // Stored for 30 days: another order or field needs another version.
  const bool by_template = !request.template_name.empty();
  Canonical canonical(by_template ? kOfTemplate : kOfText);
  canonical.Add(request.recipient);
  canonical.Add(request.sender);
  if (by_template) {
    canonical.Add(request.template_name);
    AddPairs(canonical, request.template_values);
  } else {
    canonical.Add(request.text);
  }
  canonical.Add(request.conversation_id.IsNil() ? "" : request.conversation_id.ToString());
  canonical.Add(request.external_contact_id);
  canonical.Add(request.campaign_id);
  AddPairs(canonical, request.metadata);
  canonical.AddNumber(static_cast<std::uint64_t>(request.priority));
  canonical.AddNumber(static_cast<std::uint64_t>(request.duplicate_policy));
  canonical.AddTime(request.not_before);
  canonical.AddTime(request.expire_at);
  canonical.Add(request.time_zone);
  return canonical.Digest();
}

std::vector<std::string> DifferingFields(const MessageRequest& first, std::string_view fingerprint,
                                         const MessageRequest& repeat) {
  std::vector<std::string> fields;
  if (FingerprintOf(repeat) == fingerprint) return fields;
  const auto compare = [&fields](const char* name, const auto& a, const auto& b) {
    if (a != b) fields.emplace_back(name);
  };
  compare("recipient", first.recipient, repeat.recipient);
  compare("sender", first.sender, repeat.sender);
  const bool one_by_text = first.template_name.empty() || repeat.template_name.empty();
  if (first.template_name != repeat.template_name) {
    if (one_by_text) fields.emplace_back("text");
    fields.emplace_back("template");
  } else if (one_by_text && first.text != WithPlainPunctuation(repeat.text)) {
    // Stored is what is sent: maybe with plain punctuation, whatever the tenant has set meanwhile.
    compare("text", first.text, repeat.text);
  } else if (!one_by_text && !HasValuesOf(first, fingerprint, repeat)) {
    fields.emplace_back("template");
  }
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
  if (fields.empty()) {
    // The stored one has a conversation, whether it named it or not; and the text that was sent, in
    // which typographic signs of the one that was asked may be plain.
    const bool same_but_there = IsSameInConversation(fingerprint, repeat, {}) ||
                                IsSameInConversation(fingerprint, repeat, first.conversation_id);
    const bool of_text = one_by_text && !same_but_there;
    fields.emplace_back(of_text ? "text" : "conversation_id");
  }
  return fields;
}

}  // namespace postrider
