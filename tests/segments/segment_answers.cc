// Texts of many kinds, made from a seed, and what SegmentsOf says of each: for
// tests/segments/compare.js. usage: segment_answers SEED COUNT
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/random.h"
#include "server/model/limits.h"
#include "server/policy/segments.h"

namespace postrider {
namespace {

using Characters = std::u32string;

constexpr std::u32string_view kBasic =
    U"@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    U"ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà\n\r";
constexpr std::u32string_view kEscaped = U"\f^{}\\[~]|€";
constexpr std::u32string_view kTypographic = U"‘’‚“”„«»–—…•\u00a0\u2009\u200b`´";
constexpr std::u32string_view kBmp = U"漢字かなЖдяشهרñçá\u0301\ufeffê한글あ\u0e33";
constexpr std::u32string_view kAstral = U"😀🎉𝒳𠮷🇩👍🚀\U0010fffd";

/// Grapheme clusters of several characters.
const std::vector<Characters>& Clusters() {
  static const std::vector<Characters> clusters = {U"👩\u200d👩\u200d👧\u200d👦",
                                                   U"👍🏽",
                                                   U"🇩🇪",
                                                   U"❤\ufe0f",
                                                   U"1\ufe0f\u20e3",
                                                   U"e\u0301\u0323",
                                                   U"🏴\U000e0067\U000e0062\U000e007f",
                                                   U"\r\n",
                                                   U"각"};
  return clusters;
}

/// Units at which a segment ends, in either encoding, alone and of several. The package takes
/// milliseconds for the long ones: those are rarer.
constexpr std::size_t kEdges[] = {67, 70, 134, 153, 160, 201, 268, 306, 335, 459, 612, 765};

class Texts {
 public:
  explicit Texts(std::uint64_t seed) : random_(seed) {}

  Characters Next() {
    Characters text;
    switch (Below(9)) {
      case 0:
        return Of({kBasic}, Length());
      case 1:
        return Of({kBasic, kEscaped}, Length());
      case 2:
        return Of({kBasic, kBmp}, Length());
      case 3:
        return Of({kBasic, kTypographic}, Length());
      case 4:
        return Of({kBasic, kEscaped, kTypographic, kBmp, kAstral}, Length());
      case 5:  // An escaped character, or several, about an edge.
        text = Of({kBasic}, Edge());
        for (std::size_t i = Below(4); i > 0; --i) text += One(kEscaped);
        return text + Of({kBasic}, Below(160));
      case 6:  // A pair of surrogates about an edge.
        text = Of({kBasic, kBmp}, Edge());
        for (std::size_t i = 1 + Below(3); i > 0; --i) text += One(kAstral);
        return text + Of({kBasic}, Below(80));
      case 7:  // Clusters about an edge, and among other text.
        text = Of({kBasic}, Edge());
        for (std::size_t i = 1 + Below(4); i > 0; --i) text += Clusters()[Below(Clusters().size())];
        return text + Of({kBasic, kAstral}, Below(80));
      default:
        for (std::size_t left = Length(); left > 0; --left) text += Any();
        return text;
    }
  }

 private:
  std::size_t Below(std::size_t end) { return random_.Next() % end; }
  /// Where a segment ends, or a little beside.
  std::size_t Edge() {
    const std::size_t most = Below(10) == 0 ? std::size(kEdges) : Below(3) == 0 ? 6 : 3;
    return kEdges[Below(most)] - 5 + Below(9);
  }
  std::size_t Length() { return Below(20) == 0 ? Below(kMaxTextCharacters + 1) : Edge(); }
  char32_t One(std::u32string_view from) { return from[Below(from.size())]; }
  Characters Of(const std::vector<std::u32string_view>& from, std::size_t length) {
    // Mostly of the first: others are rare in most texts.
    const std::size_t rare = 1 + Below(60);
    Characters text;
    while (text.size() < length) {
      text += One(Below(rare) == 0 ? from[Below(from.size())] : from.front());
    }
    return text;
  }
  char32_t Any() {
    for (;;) {
      const auto c = static_cast<char32_t>(1 + Below(Below(2) == 0 ? 0x3000 : 0x10ffff));
      if (c < 0xd800 || c > 0xdfff) return c;
    }
  }

  SeededRandom random_;
};

void Append(char32_t c, std::string& utf8) {
  const auto byte = [&](char32_t value) { utf8.push_back(static_cast<char>(value)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) {
    byte(0xc0 | c >> 6);
  } else if (c < 0x10000) {
    byte(0xe0 | c >> 12);
    byte(0x80 | (c >> 6 & 0x3f));
  } else {
    byte(0xf0 | c >> 18);
    byte(0x80 | (c >> 12 & 0x3f));
    byte(0x80 | (c >> 6 & 0x3f));
  }
  byte(0x80 | (c & 0x3f));
}

std::string Utf8Of(const Characters& characters) {
  std::string text;
  for (const char32_t c : characters) Append(c, text);
  return text;
}

std::string HexOf(const std::string& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    hex += kDigits[value >> 4];
    hex += kDigits[value & 15];
  }
  return hex;
}

int Run(std::uint64_t seed, long count) {
  Texts texts(seed);
  for (; count > 0; --count) {
    const std::string text = Utf8Of(texts.Next().substr(0, kMaxTextCharacters));
    const Segments segments = SegmentsOf(text);
    std::printf("%s %s %d\n", HexOf(text).c_str(),
                segments.encoding == TextEncoding::kGsm7 ? "GSM-7" : "UCS-2", segments.count);
  }
  return std::ferror(stdout) != 0 ? 1 : 0;
}

}  // namespace
}  // namespace postrider

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: segment_answers SEED COUNT\n");
    return 2;
  }
  return postrider::Run(std::strtoull(argv[1], nullptr, 10), std::strtol(argv[2], nullptr, 10));
}
