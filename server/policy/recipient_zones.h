#pragma once

#include <string_view>
#include <vector>

namespace postrider {

/// Where a number is in use, as far as it tells.
struct RecipientPlace {
  std::vector<std::string_view> zones;  ///< IANA names, one or more; empty: nothing is known.
  /// ISO 3166: "US-FL" and "CA-ON" of an area code, "US" and "CA" where it is of no one state
  /// (toll-free numbers too). Empty: another country, or not known.
  std::string_view region;
};

/// By the longest prefix of the number that the tables have. `recipient`: E.164. Pure; what it
/// returns lives for ever. People take their numbers along: who knows better says so.
/// Source: libphonenumber's tables (policy/libphonenumber/README.md).
RecipientPlace PlaceOf(std::string_view recipient);

}  // namespace postrider
