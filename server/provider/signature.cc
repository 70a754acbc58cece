#include "server/provider/signature.h"

#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include <openssl/crypto.h>

#include "server/base/digest.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr std::string_view kScheme = "sha256=";
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kLongestTime = 12;

std::optional<std::string> DigestIn(std::string_view signature) {
  if (!signature.starts_with(kScheme)) return std::nullopt;
  const std::string_view text = signature.substr(kScheme.size());
  std::string bytes;
  if (text.size() == 2 * kDigestBytes) {
    for (const char c : text) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return std::nullopt;
    }
    bytes = absl::HexStringToBytes(ToAbsl(text));
  } else if (!absl::Base64Unescape(ToAbsl(text), &bytes)) {
    return std::nullopt;
  }
  if (bytes.size() != kDigestBytes) return std::nullopt;
  return bytes;
}

std::string SignedBytes(std::string_view body, std::string_view time) {
  return time.empty() ? std::string(body) : StrCat(time, ".", body);
}

}  // namespace

std::string_view NameOf(SignatureVerdict verdict) {
  switch (verdict) {
    case SignatureVerdict::kRight:
      return "right";
    case SignatureVerdict::kMissing:
      return "missing";
    case SignatureVerdict::kUnreadable:
      return "unreadable";
    case SignatureVerdict::kWrong:
      return "wrong";
    case SignatureVerdict::kOutOfTime:
      return "out_of_time";
  }
  return "";
}

SignatureVerdict CheckSignature(const SignedWebhook& webhook, std::span<const Secret> secrets,
                                std::chrono::seconds window, WallTime now) {
  const bool timed = window > std::chrono::seconds(0);
  if (webhook.signature.empty() || (timed && webhook.time.empty())) {
    return SignatureVerdict::kMissing;
  }
  std::int64_t signed_at = 0;
  if (!webhook.time.empty() &&
      (webhook.time.size() > kLongestTime || !absl::SimpleAtoi(ToAbsl(webhook.time), &signed_at))) {
    return SignatureVerdict::kUnreadable;
  }
  const std::optional<std::string> given = DigestIn(webhook.signature);
  if (!given.has_value()) return SignatureVerdict::kUnreadable;
  const std::string bytes = SignedBytes(webhook.body, webhook.time);
  bool right = false;
  for (const Secret& secret : secrets) {
    const std::string wanted = HmacSha256(secret, bytes);
    right |= CRYPTO_memcmp(wanted.data(), given->data(), kDigestBytes) == 0;
  }
  if (!right) return SignatureVerdict::kWrong;
  if (!timed) return SignatureVerdict::kRight;
  // In seconds: the longest time has too many nanoseconds.
  const auto apart = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()) -
                     std::chrono::seconds(signed_at);
  return apart > window || apart < -window ? SignatureVerdict::kOutOfTime
                                           : SignatureVerdict::kRight;
}

std::string SignatureOf(std::string_view body, std::string_view time, const Secret& secret) {
  return StrCat(kScheme, Base64Of(HmacSha256(secret, SignedBytes(body, time))));
}

}  // namespace postrider
