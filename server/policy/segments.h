#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postrider {

/// How a text is encoded on the air. The numbers are those of the proto enum.
enum class TextEncoding : std::uint8_t { kGsm7 = 1, kUcs2 = 2 };

/// What a text takes on the air.
struct Segments {
  TextEncoding encoding = TextEncoding::kGsm7;
  int count = 1;                      ///< Segments, from 1.
  std::vector<std::string> warnings;  ///< For people; empty when there is nothing to say.
};

/// GSM-7 when every character is in its table or extension table, else UCS-2. One segment holds
/// 160 septets or 70 UTF-16 units; of several, each holds 153 or 67, and neither an escaped
/// character nor a surrogate pair is split. `text`: well-formed UTF-8 (what is not ends the count).
/// Pure. Source: 3GPP TS 23.038 section 6.2.1, TS 23.040 section 9.2.3.24.1; tests/segments holds
/// it against the npm package sms-segments-calculator.
Segments SegmentsOf(std::string_view text);

}  // namespace postrider
