#pragma once

#include <string_view>

namespace postrider {

/// Whether `text` is "+", a country code and a number: 8 to 15 digits without anything between.
/// Pure. Source: ITU-T E.164.
bool IsE164(std::string_view text);

/// Whether `text` may be a sender: "+" and digits, or a short code or a name of letters, digits,
/// "-" and "_"; 16 characters at most. Pure.
bool IsSenderAddress(std::string_view text);

}  // namespace postrider
