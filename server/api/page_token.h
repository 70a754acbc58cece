#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/model/ids.h"

namespace postrider {

/// A place in a list, as its two keys; a list of one key leaves the other nil.
struct PagePlace {
  Uuid first;
  Uuid second;
  friend bool operator==(const PagePlace&, const PagePlace&) = default;
};

/// Where the next page of a tenant's list begins, as callers carry it: opaque text of the URL
/// alphabet, kMaxPageTokenBytes at most. `list` says which list, filters and all. Pure.
std::string EncodePageToken(TenantId tenant, std::string_view list, const PagePlace& place);

/// Nothing when `token` is none of this tenant's and this list's. Its checksum finds accidents; a
/// caller who forges one sees nothing but what the own tenant's list has anyway. Pure.
std::optional<PagePlace> ParsePageToken(TenantId tenant, std::string_view list,
                                        std::string_view token);

}  // namespace postrider
