#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postrider {

/// `text` with typographic quotes, dashes, ellipses, bullets, spaces and the like replaced by what
/// GSM-7 has for them; signs that are not seen go. All else stays. `text`: UTF-8. Pure; doing it
/// again changes nothing. Source: The Unicode Standard 15 (names and uses of the characters);
/// 3GPP TS 23.038 section 6.2.1 (what GSM-7 has).
std::string WithPlainPunctuation(std::string_view text);

/// A text that has such signs, replaced or not.
struct PlainText {
  std::string text;
  std::string warning;  ///< For people: what was replaced, or why nothing was.
};

/// `text` as it is to be sent when its tenant wants plain punctuation: replaced only if all of it
/// is GSM-7 then, it is not too long and takes no more segments, since nothing is won otherwise.
/// Nothing when it has no such signs. Pure.
std::optional<PlainText> PlainTextOf(std::string_view text);

/// For each character of WithPlainPunctuation(`text`), which of `text` it stands for, from 1. Pure.
std::vector<std::size_t> PlacesOfPlain(std::string_view text);

/// The words that a text's rules and templates have: read as plain ones when the text has been made
/// plain, or was so.
class PlainWords {
 public:
  /// `wanted`: its tenant wants plain punctuation.
  PlainWords(std::string_view text, bool wanted)
      : plain_(wanted && WithPlainPunctuation(text) == text) {}

  /// Never empty of words that are not.
  std::string Of(const std::string& words) const {
    if (!plain_) return words;
    std::string plain = WithPlainPunctuation(words);
    return plain.empty() ? words : plain;
  }

 private:
  const bool plain_;
};

}  // namespace postrider
