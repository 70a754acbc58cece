#pragma once

#include <cstdint>
#include <string_view>

namespace postrider {

/// What a recipient says about texts to them. Stored; never renumber.
enum class ConsentChange : std::uint8_t { kOptOut = 1, kOptIn = 2 };
std::string_view NameOf(ConsentChange change);

/// How it came. Stored; never renumber.
enum class ConsentSource : std::uint8_t {
  kKeyword = 1,   ///< A text that came in.
  kReceipt = 2,   ///< A receipt or an answer of the provider.
  kRecorded = 3,  ///< By an operator.
};
std::string_view NameOf(ConsentSource source);

/// What an opt-out by keyword or receipt is of. A tenant's setting. Stored; never renumber.
enum class OptOutScope : std::uint8_t { kSender = 1, kTenant = 2 };
std::string_view NameOf(OptOutScope scope);

}  // namespace postrider
