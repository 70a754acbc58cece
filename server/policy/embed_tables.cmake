# cmake -DOUT=FILE -DDIR=server/policy -P embed_tables.cmake: where numbers are, and when messages may
# leave, as C++ constants.

# CLDR keeps the first name of a zone for ever; the IANA database calls these otherwise now.
set(renamed
  Africa/Asmera Africa/Asmara  America/Buenos_Aires America/Argentina/Buenos_Aires
  America/Godthab America/Nuuk  Asia/Calcutta Asia/Kolkata  Asia/Choibalsan Asia/Ulaanbaatar
  Asia/Katmandu Asia/Kathmandu  Asia/Rangoon Asia/Yangon  Atlantic/Faeroe Atlantic/Faroe
  Pacific/Enderbury Pacific/Kanton  Pacific/Ponape Pacific/Pohnpei  Pacific/Truk Pacific/Chuuk)
while(renamed)
  list(POP_FRONT renamed old new)
  set(name_of_${old} ${new})
endwhile()

# By number, as the search goes: prefixes begin with no zero, so a longer one is the greater.
file(STRINGS ${DIR}/libphonenumber/map_data.txt lines REGEX "^[0-9]+[|]")
list(SORT lines COMPARE NATURAL)
set(lists "")
set(count 0)
set(prefixes "")
foreach(line IN LISTS lines)
  string(REGEX MATCH "^([0-9]+)[|](.+)$" line "${line}")
  set(prefix ${CMAKE_MATCH_1})
  set(zones "${CMAKE_MATCH_2}")
  if(NOT DEFINED "place_of_${zones}")
    set("place_of_${zones}" ${count})
    math(EXPR count "${count} + 1")
    string(REPLACE "&" ";" names "${zones}")
    set(current "")
    foreach(name IN LISTS names)
      if(DEFINED "name_of_${name}")
        set(name ${name_of_${name}})
      endif()
      list(APPEND current ${name})
    endforeach()
    list(REMOVE_DUPLICATES current)
    string(REPLACE ";" "&" zones_now "${current}")
    string(APPEND lists "    \"${zones_now}\",\n")
  endif()
  string(APPEND prefixes "    {${prefix}, ${place_of_${zones}}},\n")
endforeach()

file(STRINGS ${DIR}/libphonenumber/area_codes.txt lines REGEX "^[0-9]")
set(areas "")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "^([0-9]+) (.+)$" "    {\\1, \"\\2\"},\n" line "${line}")
  string(APPEND areas "${line}")
endforeach()

file(READ ${DIR}/quiet_rules.txt rules)
file(WRITE ${OUT}.new "#pragma once

// Made by embed_tables.cmake of server/policy/libphonenumber (Apache License, Version 2.0:
// see its README.md) and server/policy/quiet_rules.txt.

#include <cstdint>
#include <string_view>

namespace postrider {

/// Zones as \"America/Boise&America/Los_Angeles\".
inline constexpr std::string_view kZoneLists[] = {
${lists}};

struct PrefixZones {
  std::uint32_t prefix;  ///< The digits after \"+\" that a number begins with.
  std::uint16_t zones;   ///< Of kZoneLists.
};
/// Ascending.
inline constexpr PrefixZones kPrefixZones[] = {
${prefixes}};

struct AreaRegion {
  int area;  ///< Three digits after \"+1\".
  std::string_view region;
};
/// Ascending.
inline constexpr AreaRegion kAreaRegions[] = {
${areas}};

inline constexpr std::string_view kQuietRulesText = R\"~~~(${rules})~~~\";

}  // namespace postrider
")
file(RENAME ${OUT}.new ${OUT})
