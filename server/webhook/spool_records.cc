#include "server/webhook/spool_records.h"

#include <algorithm>
#include <cstring>

#include "server/base/check.h"
#include "server/base/digest.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr std::size_t kSumBytes = 8;
constexpr std::size_t kUuidBytes = 16;
constexpr std::size_t kLeastPayload = 2 * kUuidBytes + 1;
constexpr std::size_t kMostPayload = kLeastPayload + 255 + kMaxWebhookBytes;

std::string SumOf(std::string_view payload) { return Sha256Bytes(payload).substr(0, kSumBytes); }

void AppendUuidBytes(std::string& to, const Uuid& id) {
  to.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}

Uuid UuidAt(std::string_view payload, std::size_t at) {
  Uuid id;
  std::memcpy(id.bytes.data(), payload.data() + at, kUuidBytes);
  return id;
}

}  // namespace

void AppendSpoolRecord(std::string& bytes, const InboxRow& row) {
  PR_CHECK(row.profile.size() <= 255);
  std::string payload;
  payload.reserve(kLeastPayload + row.profile.size() + row.body.size());
  AppendUuidBytes(payload, row.tenant_id.uuid);
  AppendUuidBytes(payload, row.inbox_id.uuid);
  payload += static_cast<char>(row.profile.size());
  payload += row.profile;
  payload += row.body;
  for (int shift = 0; shift < 32; shift += 8)
    bytes += static_cast<char>((payload.size() >> shift) & 0xff);
  bytes += SumOf(payload);
  bytes += payload;
}

std::optional<SpoolRecord> ReadSpoolRecord(std::string_view bytes) {
  if (bytes.size() < kSpoolRecordHead) return std::nullopt;
  std::size_t length = 0;
  for (std::size_t i = 0; i < 4; ++i)
    length |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  if (length < kLeastPayload || length > kMostPayload) return std::nullopt;
  if (bytes.size() - kSpoolRecordHead < length) return std::nullopt;
  const std::string_view payload = bytes.substr(kSpoolRecordHead, length);
  if (SumOf(payload) != bytes.substr(4, kSumBytes)) return std::nullopt;
  const auto profile =
      static_cast<std::size_t>(static_cast<unsigned char>(payload[2 * kUuidBytes]));
  if (kLeastPayload + profile > length) return std::nullopt;
  SpoolRecord record;
  record.row.tenant_id = {UuidAt(payload, 0)};
  record.row.inbox_id = {UuidAt(payload, kUuidBytes)};
  record.row.profile = payload.substr(kLeastPayload, profile);
  record.row.body = payload.substr(kLeastPayload + profile);
  record.bytes = kSpoolRecordHead + length;
  return record;
}

}  // namespace postrider
