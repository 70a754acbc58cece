#include "server/base/digest.h"

#include "absl/strings/escaping.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider {

Sha256Digest Sha256(std::string_view bytes) {
  Sha256Digest digest{};
  unsigned int size = 0;
  PR_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) ==
           1);
  return digest;
}

std::string Sha256Bytes(std::string_view bytes) {
  const Sha256Digest digest = Sha256(bytes);
  return {digest.begin(), digest.end()};
}

std::string HmacSha256(const Secret& key, std::string_view bytes) {
  std::string digest(32, '\0');
  unsigned int size = 0;
  const std::string_view secret = key.Reveal();
  PR_CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                reinterpret_cast<unsigned char*>(digest.data()), &size) != nullptr);
  return digest;
}

std::string HexOf(std::string_view bytes) { return absl::BytesToHexString(ToAbsl(bytes)); }

std::string Base64UrlOf(std::string_view bytes) {
  std::string out = absl::WebSafeBase64Escape(ToAbsl(bytes));
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

absl::StatusOr<std::string> ParseBase64Url(std::string_view text) {
  std::string out;
  // Abseil lets padding, white space and stray bits at the end pass.
  if (!absl::WebSafeBase64Unescape(ToAbsl(text), &out) || Base64UrlOf(out) != text) {
    return absl::InvalidArgumentError("not base64url");
  }
  return out;
}

std::string Base64Of(std::string_view bytes) { return absl::Base64Escape(ToAbsl(bytes)); }

std::string RandomToken(Random& random, int bits) {
  std::string bytes(static_cast<std::size_t>(bits / 8), '\0');
  random.Fill({reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  return Base64UrlOf(bytes);
}

}  // namespace postrider
