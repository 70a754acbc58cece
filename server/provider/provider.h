#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/secret.h"
#include "server/model/message.h"
#include "server/model/receipt.h"

namespace postrider {

/// What to do when sender and recipient talk in a connected conversation (profile `platform`).
/// Stored; never renumber.
enum class ActiveConversation : std::uint8_t { kFail = 1, kJoin = 2, kHold = 3 };

/// Where and as whom a tenant's messages leave: what the operator set for it.
struct ProviderAccount {
  std::string profile = "guide";
  std::string base_url = {};   ///< "https://api.mypurecloud.com", without a trailing slash.
  std::string send_path = {};  ///< Of `guide`; `platform` has none.
  std::string token_url = {};  ///< "https://login.mypurecloud.com/oauth/token"
  std::string client_id = {};
  Secret client_secret = {};
  std::string ca_file = {};  ///< PEM of the authorities to trust; empty: the system's.
  ActiveConversation active_conversation = ActiveConversation::kFail;
  bool refused_at_edge = false;  ///< A 503 was not sent for certain.

  friend bool operator==(const ProviderAccount&, const ProviderAccount&) = default;
};

/// One POST's content.
struct SendRequest {
  MessageId message_id;
  int attempt = 1;
  std::string recipient;
  std::string sender;
  std::string text;
  ConversationId conversation_id;
  std::string external_contact_id;
  std::string campaign_id;
  Metadata metadata;
};

/// A message whose status is to be read.
struct ReadRequest {
  MessageId message_id;
  std::string provider_message_id;  ///< Empty: the POST's answer was lost; then by what follows.
  std::string provider_conversation_id;
  std::string recipient;
  std::string sender;
  std::string text;
  WallTime intended_at{};  ///< Of the attempt; without an id the candidates are those around it.
  int most_requests = kMostRequestsOfSearch;  ///< It may make; needs more: kNotRead.
};

/// A message as the provider knows it.
struct ProviderMessage {
  std::string provider_message_id;
  std::string provider_conversation_id;
  ReceiptStatus status;
};

/// What a read said.
struct ReadAnswer {
  enum class Kind {
    kFound,      ///< `found` has one.
    kAbsent,     ///< Genesys answered and knows of none; no proof that there is none.
    kSeveral,    ///< Several candidates: `found` has them, or nothing when they are too many.
    kNotRead,    ///< No answer, or none that could be read; ask again.
    kThrottled,  ///< 429: nothing of the tenant leaves before `retry_after`.
  };
  Kind kind = Kind::kNotRead;
  std::vector<ProviderMessage> found;
  std::chrono::nanoseconds retry_after{};
  int requests = 0;    ///< What it took: each counts against the account's rate.
  std::string detail;  ///< For logs: one line, no text, no number.
};

/// The outside world of one tenant: the third of the five seams (clock, randomness, provider,
/// store, event sink). Step 6 of the life of a message (server/README.md).
///
/// One object serves one worker at a time (it keeps a connection); credentials are shared
/// between the objects of one account. Tests pass FakeProvider (tests/support/fake_provider.h).
class Provider {
 public:
  virtual ~Provider() = default;

  /// Posts `request` once and says how it ended, at latest `kSendDeadline` from now. Blocks. Never
  /// fails and never sends twice: everything that can happen is an Outcome.
  virtual Outcome Send(const SendRequest& request) = 0;

  /// True when statuses can be read, not only received.
  virtual bool CanRead() const { return false; }
  /// Reads the status of one message, at latest `kSendDeadline` from now. Blocks. With an id, of
  /// that one, by two requests at most; without, looks for candidates by addresses, time and, where
  /// shown, text, by kMostRequestsOfSearch at most. Only a lone candidate is kFound; whether
  /// another of our messages has it already, the caller knows.
  virtual ReadAnswer Read(const ReadRequest& /*request*/) { return {}; }
};

/// Makes Providers. Safe from any thread.
class ProviderFactory {
 public:
  virtual ~ProviderFactory() = default;
  /// A Provider for one worker. INVALID_ARGUMENT when the account names an unknown profile or a
  /// URL that cannot be used, with the setting's name.
  virtual absl::StatusOr<std::unique_ptr<Provider>> Make(const ProviderAccount& account) = 0;
};

/// Reads a webhook that came to a path of `profile`: the guide's status (of `guide`), receipts and
/// inbound texts as Open Messaging has them (of either). INVALID_ARGUMENT, naming the field, when
/// the body is none of these (it then becomes a dead letter). Pure. A receipt's `status.hash` is
/// SHA-256 of `body`.
/// Source: upstream guide, "Delivery status comes by webhook"; Genesys' Open Messaging, "Receive".
absl::StatusOr<WebhookContent> ParseWebhook(std::string_view profile, std::string_view body);

/// Classifies an error or carrier code; kOther when it is not known.
FailureReason FailureOfCode(std::string_view provider_code);

}  // namespace postrider
