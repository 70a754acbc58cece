#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/base/random.h"
#include "server/base/secret.h"

namespace postrider {

using Sha256Digest = std::array<std::uint8_t, 32>;

/// SHA-256 of `bytes`. Source: FIPS 180-4, by OpenSSL.
Sha256Digest Sha256(std::string_view bytes);
/// The digest's 32 bytes as a string, for storing.
std::string Sha256Bytes(std::string_view bytes);

/// HMAC-SHA256 of `bytes`, 32 bytes. Source: RFC 2104, by OpenSSL.
std::string HmacSha256(const Secret& key, std::string_view bytes);

/// Lower-case hexadecimal, two characters a byte.
std::string HexOf(std::string_view bytes);
/// Base64 with the URL alphabet and no padding (RFC 4648 section 5), and back.
/// INVALID_ARGUMENT when `text` is not such.
std::string Base64UrlOf(std::string_view bytes);
absl::StatusOr<std::string> ParseBase64Url(std::string_view text);
/// Base64 with the common alphabet and padding.
std::string Base64Of(std::string_view bytes);

/// `bits` / 8 random bytes as Base64Url: for tokens and unguessable paths.
std::string RandomToken(Random& random, int bits = 256);

}  // namespace postrider
