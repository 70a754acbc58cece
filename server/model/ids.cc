#include "server/model/ids.h"

#include <algorithm>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::Status NotAUuid() {
  return absl::InvalidArgumentError(
      "must be a UUID: 36 characters such as 8f4e2a1b-9c3d-4e5f-a6b7-8d9e0f1a2b3c");
}

bool IsDash(std::size_t at) { return at == 8 || at == 13 || at == 18 || at == 23; }

void SetVersion(Uuid& id, std::uint8_t version) {
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | (version << 4));
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
}

void SetMilliseconds(Uuid& id, WallTime wall) {
  const auto since_epoch = wall.time_since_epoch();
  auto ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count());
  for (std::size_t i = 6; i-- > 0;) {
    id.bytes[i] = static_cast<std::uint8_t>(ms & 0xff);
    ms >>= 8;
  }
}

}  // namespace

std::string Uuid::ToString() const {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text(36, '-');
  std::size_t at = 0;
  for (const std::uint8_t byte : bytes) {
    if (IsDash(at)) ++at;
    text[at++] = kHex[byte >> 4];
    text[at++] = kHex[byte & 15];
  }
  return text;
}

absl::StatusOr<Uuid> ParseUuid(std::string_view text) {
  if (text.size() != 36) return NotAUuid();
  Uuid id;
  std::size_t at = 0;
  for (std::uint8_t& byte : id.bytes) {
    if (IsDash(at) && text[at++] != '-') return NotAUuid();
    const int high = HexValue(text[at++]);
    const int low = HexValue(text[at++]);
    if (high < 0 || low < 0) return NotAUuid();
    byte = static_cast<std::uint8_t>(high * 16 + low);
  }
  return id;
}

Uuid MakeUuidV7(WallTime wall, Random& random) {
  Uuid id;
  random.Fill(id.bytes);
  SetMilliseconds(id, wall);
  SetVersion(id, 7);
  return id;
}

Uuid MakeUuidV4(Random& random) {
  Uuid id;
  random.Fill(id.bytes);
  SetVersion(id, 4);
  return id;
}

Uuid LeastUuidV7(WallTime wall) {
  Uuid id;
  SetMilliseconds(id, wall);
  SetVersion(id, 7);
  return id;
}

WallTime TimeOfUuidV7(const Uuid& id) {
  std::int64_t milliseconds = 0;
  for (std::size_t i = 0; i < 6; ++i) milliseconds = milliseconds * 256 + id.bytes[i];
  // Of a UUID of another kind they may be more than a clock can show.
  constexpr auto kLast =
      std::chrono::floor<std::chrono::milliseconds>(WallTime::max().time_since_epoch());
  return WallTime{std::min(std::chrono::milliseconds(milliseconds), kLast)};
}

int SlotOf(TenantId tenant) {
  // FNV-1a: stored in rows, so it must be the same on every machine and for ever.
  std::uint32_t hash = 2166136261U;
  for (const std::uint8_t byte : tenant.uuid.bytes) hash = (hash ^ byte) * 16777619U;
  return static_cast<int>(hash % kSlots);
}

}  // namespace postrider
