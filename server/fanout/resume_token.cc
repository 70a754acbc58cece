#include "server/fanout/resume_token.h"

#include <cstdint>

#include "server/base/digest.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kChecksumBytes = 8;
// Version, flags, two ticks of number and nonce, message, revision, tenant.
constexpr std::size_t kBodyBytes = 1 + 1 + 2 * (8 + 16) + 16 + 4 + 16;
constexpr std::uint8_t kInSnapshot = 1;

void Put(std::string& to, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    to.push_back(static_cast<char>((value >> shift) & 0xff));
  }
}

void Put(std::string& to, const Uuid& id) { to.append(id.bytes.begin(), id.bytes.end()); }

void Put(std::string& to, const Tick& tick) {
  Put(to, static_cast<std::uint64_t>(tick.number), 8);
  Put(to, tick.nonce);
}

std::uint64_t TakeNumber(std::string_view& from, std::size_t bytes) {
  std::uint64_t value = 0;
  for (const char c : from.substr(0, bytes)) value = value << 8 | static_cast<std::uint8_t>(c);
  from.remove_prefix(bytes);
  return value;
}

Uuid TakeUuid(std::string_view& from) {
  Uuid id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i)
    id.bytes[i] = static_cast<std::uint8_t>(from[i]);
  from.remove_prefix(id.bytes.size());
  return id;
}

Tick TakeTick(std::string_view& from) {
  Tick tick;
  tick.number = static_cast<std::int64_t>(TakeNumber(from, 8));
  tick.nonce = TakeUuid(from);
  return tick;
}

std::string ChecksumOf(std::string_view body) {
  return Sha256Bytes(body).substr(0, kChecksumBytes);
}

bool IsSound(const EventPosition& position) {
  if (position.after.number <= 0 || position.revision < 0) return false;
  if (position.in_snapshot) return position.upto.number == 0 && position.revision == 0;
  if (position.upto.number == 0) return position.revision == 0 && position.message_id.IsNil();
  return position.upto.number > position.after.number && position.revision > 0;
}

}  // namespace

std::string EncodeResumeToken(const EventPosition& position, TenantId tenant) {
  std::string bytes;
  bytes.reserve(kBodyBytes + kChecksumBytes);
  Put(bytes, kVersion, 1);
  Put(bytes, position.in_snapshot ? kInSnapshot : 0, 1);
  Put(bytes, position.after);
  Put(bytes, position.upto);
  Put(bytes, position.message_id.uuid);
  Put(bytes, static_cast<std::uint64_t>(position.revision), 4);
  Put(bytes, tenant.uuid);
  bytes += ChecksumOf(bytes);
  return Base64UrlOf(bytes);
}

absl::StatusOr<EventPosition> ParseResumeToken(std::string_view text, TenantId tenant) {
  // One text for every cause: what a token holds is nobody's business.
  const absl::Status bad = absl::InvalidArgumentError("is not a resume token of this tenant");
  if (text.size() > kMaxResumeTokenBytes) return bad;
  const absl::StatusOr<std::string> bytes = ParseBase64Url(text);
  // Base64 has several spellings of the same bytes; only ours counts.
  if (!bytes.ok() || bytes->size() != kBodyBytes + kChecksumBytes || Base64UrlOf(*bytes) != text) {
    return bad;
  }
  std::string_view left(*bytes);
  const std::string_view body = left.substr(0, kBodyBytes);
  if (ChecksumOf(body) != left.substr(kBodyBytes)) return bad;
  if (TakeNumber(left, 1) != kVersion) return bad;
  const std::uint64_t flags = TakeNumber(left, 1);
  if (flags > kInSnapshot) return bad;
  EventPosition position;
  position.in_snapshot = flags == kInSnapshot;
  position.after = TakeTick(left);
  position.upto = TakeTick(left);
  position.message_id.uuid = TakeUuid(left);
  position.revision = static_cast<std::int32_t>(TakeNumber(left, 4));
  if (TakeUuid(left) != tenant.uuid || !IsSound(position)) return bad;
  return position;
}

}  // namespace postrider
