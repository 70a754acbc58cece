#include "server/policy/content_fingerprint.h"

#include "server/base/strings.h"
#include "server/policy/links.h"

namespace postrider {

namespace {

/// No text has it: texts are without NUL.
constexpr std::string_view kOpen{"\0", 1};

std::size_t WordBytes(const ParsedTemplate& one) {
  std::size_t bytes = 0;
  for (const std::string& words : one.words()) bytes += words.size();
  return bytes;
}

const ParsedTemplate* BestOf(std::string_view text, const std::vector<ParsedTemplate>& templates) {
  const ParsedTemplate* best = nullptr;
  for (const ParsedTemplate& one : templates) {
    if (best != nullptr && WordBytes(one) <= WordBytes(*best)) continue;
    if (one.Matches(text)) best = &one;
  }
  return best;
}

/// `text` with one mark in place of each run of digits.
void AppendReduced(std::string_view text, std::string& key) {
  bool in_number = false;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      key += c;
    } else if (!in_number) {
      key += kOpen;
    }
    in_number = digit;
  }
}

}  // namespace

std::string ContentKey(std::string_view text, const std::vector<ParsedTemplate>& templates) {
  const std::vector<Link> links = LinksOf(text);
  std::string key;
  if (const ParsedTemplate* const best = BestOf(text, templates)) {
    for (const std::string& words : best->words()) StrAppend(key, words, kOpen);
    for (const Link& link : links) StrAppend(key, kOpen, link.host);
    return key;
  }
  std::size_t at = 0;
  for (const Link& link : links) {
    AppendReduced(text.substr(at, link.at - at), key);
    StrAppend(key, kOpen, link.host, kOpen);
    at = link.at + link.size;
  }
  AppendReduced(text.substr(at), key);
  return key;
}

}  // namespace postrider
