#include "server/api/page_token.h"

#include <algorithm>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/model/conversation_limits.h"

namespace postrider {

namespace {

constexpr char kPageTokenVersion = 1;
constexpr std::size_t kPlaceBytes = 1 + 2 * sizeof(Uuid::bytes);
constexpr std::size_t kPageChecksumBytes = 12;

/// Of the place and of all that it holds for, which the token itself need not carry.
std::string PageChecksum(TenantId tenant, std::string_view list, std::string_view place) {
  return Sha256Bytes(StrCat(place, tenant.ToString(), " ", list)).substr(0, kPageChecksumBytes);
}

}  // namespace

std::string EncodePageToken(TenantId tenant, std::string_view list, const PagePlace& place) {
  std::string bytes(1, kPageTokenVersion);
  bytes.append(place.first.bytes.begin(), place.first.bytes.end());
  bytes.append(place.second.bytes.begin(), place.second.bytes.end());
  bytes += PageChecksum(tenant, list, bytes);
  return Base64UrlOf(bytes);
}

std::optional<PagePlace> ParsePageToken(TenantId tenant, std::string_view list,
                                        std::string_view token) {
  if (token.size() > kMaxPageTokenBytes) return std::nullopt;
  const absl::StatusOr<std::string> bytes = ParseBase64Url(token);
  if (!bytes.ok() || bytes->size() != kPlaceBytes + kPageChecksumBytes) return std::nullopt;
  const std::string_view all(*bytes);
  const std::string_view body = all.substr(0, kPlaceBytes);
  const bool sound = body.front() == kPageTokenVersion &&
                     all.substr(kPlaceBytes) == PageChecksum(tenant, list, body);
  if (!sound) return std::nullopt;
  PagePlace place;
  const auto first = body.begin() + 1;
  const auto second = first + static_cast<std::ptrdiff_t>(place.first.bytes.size());
  std::copy(first, second, place.first.bytes.begin());
  std::copy(second, body.end(), place.second.bytes.begin());
  return place;
}

}  // namespace postrider
