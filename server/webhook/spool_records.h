#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/model/receipt.h"

// How rows stand in a file of the spool (webhook/spool.h): the eight bytes of kSpoolMark, then for
// each row its length (4 bytes, little end first), eight bytes of SHA-256 of what follows, and
// that: tenant, inbox_id, one byte of the profile's length, the profile, the body.
namespace postrider {

inline constexpr std::string_view kSpoolMark = "PRSPOOL1";
inline constexpr std::size_t kSpoolRecordHead = 12;

/// Adds `row` to `bytes`. Its profile has 255 bytes at most.
void AppendSpoolRecord(std::string& bytes, const InboxRow& row);

/// A row and how many bytes it took.
struct SpoolRecord {
  InboxRow row;
  std::size_t bytes = 0;
};
/// The row at the beginning of `bytes`; nothing when there is no whole and sound one.
std::optional<SpoolRecord> ReadSpoolRecord(std::string_view bytes);

}  // namespace postrider
