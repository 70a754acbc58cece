#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

/// 16 bytes, shown as 8-4-4-4-12 lower-case hexadecimal digits. The default is the nil UUID.
/// Source: RFC 9562.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  bool IsNil() const { return *this == Uuid{}; }
  std::string ToString() const;
};

/// INVALID_ARGUMENT unless `text` is the 36 characters of a UUID (upper or lower case).
absl::StatusOr<Uuid> ParseUuid(std::string_view text);

/// A UUID of one kind, so that a message cannot be taken for a conversation.
template <typename Tag>
struct Id {
  Uuid uuid;

  friend auto operator<=>(const Id&, const Id&) = default;
  bool IsNil() const { return uuid.IsNil(); }
  std::string ToString() const { return uuid.ToString(); }
  static absl::StatusOr<Id> Parse(std::string_view text) {
    absl::StatusOr<Uuid> parsed = ParseUuid(text);
    if (!parsed.ok()) return parsed.status();
    return Id{*parsed};
  }
};

using TenantId = Id<struct TenantTag>;
using MessageId = Id<struct MessageTag>;            ///< UUIDv7: carries the time of acceptance.
using ConversationId = Id<struct ConversationTag>;  ///< UUIDv4 when the gateway makes it.
using SenderId = Id<struct SenderTag>;
using ReplicaId = Id<struct ReplicaTag>;
using InboxId = Id<struct InboxTag>;            ///< UUIDv7.
using DeadLetterId = Id<struct DeadLetterTag>;  ///< An inbox_id or a message_id.

/// UUIDv7 of `wall`, the rest from `random`. Source: RFC 9562 section 5.7.
Uuid MakeUuidV7(WallTime wall, Random& random);
/// UUIDv4. Source: RFC 9562 section 5.4.
Uuid MakeUuidV4(Random& random);
/// The least UUIDv7 of an instant: bounds of partitions and sweeps by time.
Uuid LeastUuidV7(WallTime wall);
/// The instant of a UUIDv7, in whole milliseconds; of another UUID, some instant.
WallTime TimeOfUuidV7(const Uuid& id);

/// The slot (0 .. kSlots - 1) that a tenant's messages belong to: one owner dispatches it.
int SlotOf(TenantId tenant);

/// A message and whose it is: the key of everything that is kept about it.
struct MessageKey {
  TenantId tenant_id;
  MessageId message_id;
  friend auto operator<=>(const MessageKey&, const MessageKey&) = default;
};

}  // namespace postrider

template <typename Tag>
struct std::hash<postrider::Id<Tag>> {
  std::size_t operator()(const postrider::Id<Tag>& id) const noexcept {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::memcpy(&high, id.uuid.bytes.data(), 8);
    std::memcpy(&low, id.uuid.bytes.data() + 8, 8);
    return std::hash<std::uint64_t>{}(high * 0x9e3779b97f4a7c15U ^ low);
  }
};

template <>
struct std::hash<postrider::MessageKey> {
  std::size_t operator()(const postrider::MessageKey& key) const noexcept {
    return std::hash<postrider::MessageId>{}(key.message_id);
  }
};
