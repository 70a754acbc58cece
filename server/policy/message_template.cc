#include "server/policy/message_template.h"

#include <algorithm>
#include <optional>

#include "server/base/strings.h"
#include "server/base/utf8.h"
#include "server/model/campaign_limits.h"

namespace postrider {

namespace {

absl::Status WrongAt(std::string_view text, std::size_t at, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("character ", CharactersOf(text.substr(0, at)).value_or(at) + 1, ": ", why));
}

}  // namespace

bool IsPlaceName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxPlaceNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

absl::StatusOr<ParsedTemplate> ParsedTemplate::Parse(std::string_view text) {
  ParsedTemplate parsed;
  parsed.words_.emplace_back();
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      parsed.words_.back() += c;
      continue;
    }
    if (at + 1 < text.size() && text[at + 1] == c) {
      parsed.words_.back() += c;
      ++at;
      continue;
    }
    if (c == '}') return WrongAt(text, at, "} without {; for a brace write }}");
    const std::size_t end = text.find('}', at);
    if (end == std::string_view::npos)
      return WrongAt(text, at, "{ without }; for a brace write {{");
    const std::string_view name = text.substr(at + 1, end - at - 1);
    if (!IsPlaceName(name)) {
      return WrongAt(text, at, StrCat("a place is 1 to ", kMaxPlaceNameBytes, " of [a-z0-9_]"));
    }
    if (parsed.words_.size() > 1 && parsed.words_.back().empty()) {
      return WrongAt(text, at, "two places need something between them");
    }
    if (parsed.places_.size() == kMaxPlaces) {
      return WrongAt(text, at, StrCat("a template has ", kMaxPlaces, " places at most"));
    }
    parsed.places_.emplace_back(name);
    if (std::find(parsed.names_.begin(), parsed.names_.end(), name) == parsed.names_.end()) {
      parsed.names_.emplace_back(name);
    }
    parsed.words_.emplace_back();
    at = end;
  }
  return parsed;
}

absl::StatusOr<std::string> ParsedTemplate::Fill(
    const std::map<std::string, std::string>& values) const {
  std::string wrong;
  const auto violate = [&wrong](std::string_view name, auto... why) {
    StrAppend(wrong, wrong.empty() ? "" : "; ", name, ": ", why...);
  };
  for (const auto& [name, value] : values) {
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) {
      violate(name, "the template has no such place");
      continue;
    }
    const std::optional<std::size_t> characters = CharactersOf(value);
    if (!characters || *characters == 0 || *characters > kMaxTemplateValueCharacters ||
        value.find('\0') != std::string::npos) {
      violate(name, "must be UTF-8 of 1 to ", kMaxTemplateValueCharacters,
              " characters without NUL");
    }
  }
  for (const std::string& name : names_) {
    if (!values.contains(name)) violate(name, "is required by the template");
  }
  if (!wrong.empty()) return absl::InvalidArgumentError(wrong);
  std::string text = words_.front();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    StrAppend(text, values.at(places_[i]), words_[i + 1]);
  }
  return text;
}

bool ParsedTemplate::Matches(std::string_view text) const {
  if (text.compare(0, words_.front().size(), words_.front()) != 0) return false;
  text.remove_prefix(words_.front().size());
  if (places_.empty()) return text.empty();
  for (std::size_t i = 1; i + 1 < words_.size(); ++i) {
    // The first that fits leaves most to those after it.
    const std::size_t found = text.empty() ? std::string_view::npos : text.find(words_[i], 1);
    if (found == std::string_view::npos) return false;
    text.remove_prefix(found + words_[i].size());
  }
  const std::string& last = words_.back();
  return text.size() > last.size() && text.substr(text.size() - last.size()) == last;
}

}  // namespace postrider
