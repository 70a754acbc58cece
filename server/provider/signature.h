#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "server/base/clock.h"
#include "server/base/secret.h"

namespace postrider {

/// The header of Open Messaging: "sha256=" and the HMAC-SHA256 of the raw body under a shared
/// secret, base64; hexadecimal is taken too. Source: Genesys developer centre, Open Messaging,
/// "Inbound receipts and messages".
inline constexpr const char* kSignatureHeader = "X-Hub-Signature-256";
/// Seconds since 1970, when the webhook was signed. With it, what is signed is its text, a full
/// stop and the raw body.
inline constexpr const char* kSignatureTimeHeader = "X-Hub-Signature-Time";

enum class SignatureVerdict {
  kRight,
  kMissing,     ///< No signature, or no time where one is demanded.
  kUnreadable,  ///< Not "sha256=" with 32 bytes, or a time that is no number.
  kWrong,       ///< Of none of the secrets.
  kOutOfTime,   ///< Right, but signed too long ago, or in the future.
};
/// For metrics and logs: "right", "missing", "unreadable", "wrong" or "out_of_time".
std::string_view NameOf(SignatureVerdict verdict);

/// What a webhook brought to prove where it comes from.
struct SignedWebhook {
  std::string_view body;            ///< Raw, as it came.
  std::string_view signature = {};  ///< Of kSignatureHeader; empty: none.
  std::string_view time = {};       ///< Of kSignatureTimeHeader; empty: none.
};

/// Whether `webhook` was signed with one of `secrets` (several while they are changed). With a
/// `window` above zero it must say when, and that be no further than `window` from `now`. Takes as
/// long for a wrong signature as for a right one. Pure.
SignatureVerdict CheckSignature(const SignedWebhook& webhook, std::span<const Secret> secrets,
                                std::chrono::seconds window, WallTime now);

/// The value of kSignatureHeader for `body`, and of `time` if not empty.
std::string SignatureOf(std::string_view body, std::string_view time, const Secret& secret);

}  // namespace postrider
