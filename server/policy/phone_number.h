#pragma once

#include <string_view>

namespace postrider {

/// Whether `text` is "+", a country code and a number: 8 to 15 digits without anything between.
/// Pure. Source: ITU-T E.164.
bool IsE164(std::string_view text);

}  // namespace postrider
