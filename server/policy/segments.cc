#include "server/policy/segments.h"

#include <iomanip>
#include <optional>
#include <sstream>

#include "server/base/strings.h"
#include "server/base/utf8.h"

namespace postrider {

namespace {

constexpr std::u32string_view kBeyondAscii = U"£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà";
constexpr std::u32string_view kExtension = U"\f^{}\\[~]|€";

struct Limits {
  int alone;       ///< Units in the only segment.
  int of_several;  ///< Units in each of several: the rest is the header that joins them.
};
constexpr Limits kGsm7Limits{160, 153};
constexpr Limits kUcs2Limits{70, 67};

/// Septets; nothing when the character is not in GSM-7.
std::optional<int> SeptetsOf(char32_t c) {
  if (kExtension.find(c) != std::u32string_view::npos) return 2;
  if (c >= 0x20 && c < 0x7f) return c == U'`' ? std::nullopt : std::optional(1);
  if (c == U'\n' || c == U'\r' || kBeyondAscii.find(c) != std::u32string_view::npos) return 1;
  return std::nullopt;
}

int Utf16UnitsOf(char32_t c) { return c > 0xffff ? 2 : 1; }

/// Counts both encodings' segments in one pass.
class Packer {
 public:
  explicit Packer(Limits limits) : limits_(limits) {}

  void Add(int units) {
    total_ += units;
    if (in_segment_ + units > limits_.of_several) {
      ++several_;
      in_segment_ = 0;
    }
    in_segment_ += units;
  }
  int count() const { return total_ <= limits_.alone ? 1 : several_; }

 private:
  const Limits limits_;
  int total_ = 0;
  int several_ = 1;
  int in_segment_ = 0;
};

std::string Named(char32_t c, std::string_view utf8) {
  std::ostringstream code;
  code << "U+" << std::hex << std::uppercase << std::setw(4) << std::setfill('0')
       << static_cast<std::uint32_t>(c);
  const bool shown = c > 0x20 && (c < 0x7f || c > 0xa0);
  return shown ? StrCat("\"", utf8, "\" (", code.str(), ")") : code.str();
}

}  // namespace

Segments SegmentsOf(std::string_view text) {
  Packer gsm7(kGsm7Limits);
  Packer ucs2(kUcs2Limits);
  Segments result;
  for (int position = 1; !text.empty(); ++position) {
    const std::string_view before = text;
    const std::optional<char32_t> c = TakeCharacter(text);
    if (!c) break;
    ucs2.Add(Utf16UnitsOf(*c));
    const std::optional<int> septets = SeptetsOf(*c);
    if (septets) {
      gsm7.Add(*septets);
    } else if (result.encoding == TextEncoding::kGsm7) {
      result.encoding = TextEncoding::kUcs2;
      const std::string_view utf8 = before.substr(0, before.size() - text.size());
      result.warnings.push_back(StrCat("character ", Named(*c, utf8), " at position ", position,
                                       " makes the whole text UCS-2"));
    }
  }
  result.count = result.encoding == TextEncoding::kGsm7 ? gsm7.count() : ucs2.count();
  return result;
}

}  // namespace postrider
