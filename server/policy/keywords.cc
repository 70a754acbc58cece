#include "server/policy/keywords.h"

#include <algorithm>
#include <iterator>
#include <string>

namespace postrider {

namespace {

struct Word {
  std::string_view word;
  Keyword keyword;
};
constexpr Word kWords[] = {
    {"stop", Keyword::kOptOut},     {"stopall", Keyword::kOptOut},
    {"stop all", Keyword::kOptOut}, {"unsubscribe", Keyword::kOptOut},
    {"cancel", Keyword::kOptOut},   {"end", Keyword::kOptOut},
    {"quit", Keyword::kOptOut},     {"revoke", Keyword::kOptOut},
    {"optout", Keyword::kOptOut},   {"opt out", Keyword::kOptOut},
    {"opt-out", Keyword::kOptOut},  {"start", Keyword::kOptIn},
    {"yes", Keyword::kOptIn},       {"unstop", Keyword::kOptIn},
    {"help", Keyword::kHelp},       {"info", Keyword::kHelp},
};
constexpr std::size_t kLongestWord = 11;

// What phones put around a word by themselves, in UTF-8: no-break and zero-width blanks, the byte
// order mark, and the quotes and dots that a keyboard sets in place of ASCII's.
constexpr std::string_view kPadding[] = {
    "\u00a0", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2018", "\u2019", "\u201c",
    "\u201d", "\u2026", "\u202f", "\ufe0f", "\ufeff", "\u00ab", "\u00bb", "\u00a1", "\u00bf"};

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
/// ASCII without letters and digits.
bool IsPunctuation(char c) { return c > ' ' && c < '\x7f' && !IsLetter(c) && !IsDigit(c); }

/// How many bytes of padding `text` begins (or ends) with; 0: none.
std::size_t PaddingAt(std::string_view text, bool at_end) {
  const char c = at_end ? text.back() : text.front();
  if (IsBlank(c) || IsPunctuation(c)) return 1;
  for (const std::string_view padding : kPadding) {
    if (at_end ? text.ends_with(padding) : text.starts_with(padding)) return padding.size();
  }
  return 0;
}

std::string_view WithoutPadding(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = PaddingAt(text, false);
    if (bytes == 0) break;
    text.remove_prefix(bytes);
  }
  while (!text.empty()) {
    const std::size_t bytes = PaddingAt(text, true);
    if (bytes == 0) break;
    text.remove_suffix(bytes);
  }
  return text;
}

}  // namespace

std::string_view NameOf(Keyword keyword) {
  switch (keyword) {
    case Keyword::kNone:
      return "NONE";
    case Keyword::kOptOut:
      return "OPT_OUT";
    case Keyword::kOptIn:
      return "OPT_IN";
    case Keyword::kHelp:
      return "HELP";
  }
  return "";
}

Keyword KeywordOf(std::string_view text) {
  std::string word;
  for (const char c : WithoutPadding(text)) {
    if (IsBlank(c)) {
      if (word.back() != ' ') word += ' ';
    } else {
      word += static_cast<char>(IsLetter(c) ? c | 0x20 : c);
    }
    if (word.size() > kLongestWord) return Keyword::kNone;
  }
  const auto* const found = std::find_if(std::begin(kWords), std::end(kWords),
                                         [&](const Word& row) { return row.word == word; });
  return found == std::end(kWords) ? Keyword::kNone : found->keyword;
}

}  // namespace postrider
