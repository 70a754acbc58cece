#include "server/policy/plain_punctuation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "absl/strings/str_join.h"

#include "server/base/strings.h"
#include "server/base/utf8.h"
#include "server/model/limits.h"
#include "server/policy/segments.h"

namespace postrider {

namespace {

/// A character that GSM-7 does not have, and what stands for it.
struct Plain {
  char32_t from;
  std::string_view to;
  std::string_view name;
};

// By code point. Characters that are letters of some script are not here, nor is what changes what
// a text says (fractions, currencies).
constexpr Plain kPlain[] = {
    {0x0009, " ", "CHARACTER TABULATION"},
    {0x0060, "'", "GRAVE ACCENT"},
    {0x00a0, " ", "NO-BREAK SPACE"},
    {0x00ab, "\"", "LEFT-POINTING DOUBLE ANGLE QUOTATION MARK"},
    {0x00ad, "", "SOFT HYPHEN"},
    {0x00b4, "'", "ACUTE ACCENT"},
    {0x00bb, "\"", "RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK"},
    {0x02b9, "'", "MODIFIER LETTER PRIME"},
    {0x02ba, "\"", "MODIFIER LETTER DOUBLE PRIME"},
    {0x02bb, "'", "MODIFIER LETTER TURNED COMMA"},
    {0x02bc, "'", "MODIFIER LETTER APOSTROPHE"},
    {0x2000, " ", "EN QUAD"},
    {0x2001, " ", "EM QUAD"},
    {0x2002, " ", "EN SPACE"},
    {0x2003, " ", "EM SPACE"},
    {0x2004, " ", "THREE-PER-EM SPACE"},
    {0x2005, " ", "FOUR-PER-EM SPACE"},
    {0x2006, " ", "SIX-PER-EM SPACE"},
    {0x2007, " ", "FIGURE SPACE"},
    {0x2008, " ", "PUNCTUATION SPACE"},
    {0x2009, " ", "THIN SPACE"},
    {0x200a, " ", "HAIR SPACE"},
    {0x200b, "", "ZERO WIDTH SPACE"},
    {0x200c, "", "ZERO WIDTH NON-JOINER"},
    {0x200d, "", "ZERO WIDTH JOINER"},
    {0x200e, "", "LEFT-TO-RIGHT MARK"},
    {0x200f, "", "RIGHT-TO-LEFT MARK"},
    {0x2010, "-", "HYPHEN"},
    {0x2011, "-", "NON-BREAKING HYPHEN"},
    {0x2012, "-", "FIGURE DASH"},
    {0x2013, "-", "EN DASH"},
    {0x2014, "-", "EM DASH"},
    {0x2015, "-", "HORIZONTAL BAR"},
    {0x2018, "'", "LEFT SINGLE QUOTATION MARK"},
    {0x2019, "'", "RIGHT SINGLE QUOTATION MARK"},
    {0x201a, "'", "SINGLE LOW-9 QUOTATION MARK"},
    {0x201b, "'", "SINGLE HIGH-REVERSED-9 QUOTATION MARK"},
    {0x201c, "\"", "LEFT DOUBLE QUOTATION MARK"},
    {0x201d, "\"", "RIGHT DOUBLE QUOTATION MARK"},
    {0x201e, "\"", "DOUBLE LOW-9 QUOTATION MARK"},
    {0x201f, "\"", "DOUBLE HIGH-REVERSED-9 QUOTATION MARK"},
    {0x2022, "-", "BULLET"},
    {0x2023, "-", "TRIANGULAR BULLET"},
    {0x2024, ".", "ONE DOT LEADER"},
    {0x2025, "..", "TWO DOT LEADER"},
    {0x2026, "...", "HORIZONTAL ELLIPSIS"},
    {0x2027, "-", "HYPHENATION POINT"},
    {0x2028, "\n", "LINE SEPARATOR"},
    {0x2029, "\n", "PARAGRAPH SEPARATOR"},
    {0x202f, " ", "NARROW NO-BREAK SPACE"},
    {0x2032, "'", "PRIME"},
    {0x2033, "\"", "DOUBLE PRIME"},
    {0x2035, "'", "REVERSED PRIME"},
    {0x2036, "\"", "REVERSED DOUBLE PRIME"},
    {0x2039, "'", "SINGLE LEFT-POINTING ANGLE QUOTATION MARK"},
    {0x203a, "'", "SINGLE RIGHT-POINTING ANGLE QUOTATION MARK"},
    {0x2043, "-", "HYPHEN BULLET"},
    {0x2044, "/", "FRACTION SLASH"},
    {0x205f, " ", "MEDIUM MATHEMATICAL SPACE"},
    {0x2060, "", "WORD JOINER"},
    {0x2212, "-", "MINUS SIGN"},
    {0x2215, "/", "DIVISION SLASH"},
    {0x2219, "-", "BULLET OPERATOR"},
    {0x25cf, "-", "BLACK CIRCLE"},
    {0x25e6, "-", "WHITE BULLET"},
    {0x3000, " ", "IDEOGRAPHIC SPACE"},
    {0xfe58, "-", "SMALL EM DASH"},
    {0xfe63, "-", "SMALL HYPHEN-MINUS"},
    {0xfeff, "", "ZERO WIDTH NO-BREAK SPACE"},
    {0xff02, "\"", "FULLWIDTH QUOTATION MARK"},
    {0xff07, "'", "FULLWIDTH APOSTROPHE"},
    {0xff0d, "-", "FULLWIDTH HYPHEN-MINUS"},
};

constexpr bool IsByCodePoint() {
  for (std::size_t i = 1; i < std::size(kPlain); ++i) {
    if (kPlain[i - 1].from >= kPlain[i].from) return false;
  }
  return true;
}
static_assert(IsByCodePoint(), "it is searched");

const Plain* PlainOf(char32_t c) {
  const Plain* const found =
      std::lower_bound(std::begin(kPlain), std::end(kPlain), c,
                       [](const Plain& plain, char32_t wanted) { return plain.from < wanted; });
  return found != std::end(kPlain) && found->from == c ? found : nullptr;
}

/// Calls `each` with the bytes of each character of `text` and, when there is one, its plain one.
/// Returns what is no UTF-8, with all after it.
template <typename Each>
std::string_view Walk(std::string_view text, Each each) {
  while (!text.empty()) {
    const std::string_view before = text;
    const std::optional<char32_t> c = TakeCharacter(text);
    if (!c) return before;
    each(before.substr(0, before.size() - text.size()), PlainOf(*c));
  }
  return text;
}

/// `text` replaced; `seen` counts what was.
std::string Replaced(std::string_view text, std::map<const Plain*, int>* seen) {
  std::string out;
  out.reserve(text.size());
  const std::string_view rest = Walk(text, [&](std::string_view bytes, const Plain* plain) {
    out += plain == nullptr ? bytes : plain->to;
    if (plain != nullptr && seen != nullptr) ++(*seen)[plain];
  });
  return out.append(rest);
}

/// "RIGHT SINGLE QUOTATION MARK (2), EN DASH"
std::string ListOf(const std::map<const Plain*, int>& seen) {
  std::vector<std::string> names;
  for (const auto& [plain, count] : seen) {
    names.push_back(count == 1 ? std::string(plain->name) : StrCat(plain->name, " (", count, ")"));
  }
  return absl::StrJoin(names, ", ");
}

/// Why `plain` is not sent in place of `text`; nothing when it is.
std::optional<std::string> WhyNot(std::string_view text, std::string_view plain) {
  if (plain.empty()) return "nothing would be left";
  const Segments segments = SegmentsOf(plain);
  if (segments.encoding != TextEncoding::kGsm7) return segments.warnings.front();
  if (CharactersOf(plain).value_or(0) > kMaxTextCharacters) {
    return StrCat("it would have more than ", kMaxTextCharacters, " characters");
  }
  const int before = SegmentsOf(text).count;
  if (segments.count <= before) return std::nullopt;
  return StrCat("it would take ", segments.count, " segments in place of ", before);
}

}  // namespace

std::string WithPlainPunctuation(std::string_view text) { return Replaced(text, nullptr); }

std::vector<std::size_t> PlacesOfPlain(std::string_view text) {
  std::vector<std::size_t> places;
  std::size_t place = 0;
  Walk(text, [&](std::string_view, const Plain* plain) {
    places.insert(places.end(), plain == nullptr ? 1 : plain->to.size(), ++place);
  });
  return places;
}

std::optional<PlainText> PlainTextOf(std::string_view text) {
  std::map<const Plain*, int> seen;
  std::string plain = Replaced(text, &seen);
  if (seen.empty()) return std::nullopt;
  if (const std::optional<std::string> why = WhyNot(text, plain)) {
    return PlainText{std::string(text),
                     StrCat("typographic signs stay as they are (", ListOf(seen), "): ", *why)};
  }
  return PlainText{std::move(plain),
                   StrCat("typographic signs were replaced by plain ones: ", ListOf(seen))};
}

}  // namespace postrider
