#include "server/policy/recipient_zones.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>

#include "server/policy/tables_embedded.h"

namespace postrider {

namespace {

constexpr std::size_t kAreaDigits = 3;

std::uint32_t PlainNumberOf(std::string_view digits) {
  std::uint32_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

const PrefixZones* FindPrefix(std::string_view digits) {
  constexpr std::size_t kLongestPrefix = 9;  // What 32 bits hold of digits; the table has less.
  for (std::size_t length = std::min(digits.size(), kLongestPrefix); length > 0; --length) {
    const std::uint32_t prefix = PlainNumberOf(digits.substr(0, length));
    const PrefixZones* const found =
        std::lower_bound(std::begin(kPrefixZones), std::end(kPrefixZones), prefix,
                         [](const PrefixZones& a, std::uint32_t b) { return a.prefix < b; });
    if (found != std::end(kPrefixZones) && found->prefix == prefix) return found;
  }
  return nullptr;
}

std::string_view RegionOfArea(std::string_view area) {
  const int number = static_cast<int>(PlainNumberOf(area));
  const AreaRegion* const found =
      std::lower_bound(std::begin(kAreaRegions), std::end(kAreaRegions), number,
                       [](const AreaRegion& a, int b) { return a.area < b; });
  return found != std::end(kAreaRegions) && found->area == number ? found->region : "";
}

}  // namespace

RecipientPlace PlaceOf(std::string_view recipient) {
  RecipientPlace place;
  if (!recipient.starts_with('+')) return place;
  const std::string_view digits = recipient.substr(1);
  const PrefixZones* const found = FindPrefix(digits);
  if (found == nullptr) return place;
  std::string_view names = kZoneLists[found->zones];
  while (!names.empty()) {
    const std::size_t end = std::min(names.find('&'), names.size());
    place.zones.push_back(names.substr(0, end));
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  if (digits.starts_with('1') && digits.size() > kAreaDigits) {
    place.region = RegionOfArea(digits.substr(1, kAreaDigits));
    // Other countries of +1 have zones of their own; what is left is toll-free, or new.
    if (place.region.empty() && found->prefix == 1) place.region = "US";
  }
  return place;
}

}  // namespace postrider
