#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/campaign.h"
#include "server/model/compliance.h"
#include "server/model/consent.h"
#include "server/model/ids.h"
#include "server/model/quiet.h"

namespace postrider {

/// A number or name that a tenant may send from.
struct SenderRow {
  SenderId sender_id;
  std::string address;  ///< "+15559876543", a short code, or an alphanumeric name.
  std::optional<double> segments_per_s = {};  ///< None: by the kind of number.
  std::string ten_dlc_campaign = {};          ///< As in SenderSetup.
  bool active = true;                         ///< The same.
};

/// A tenant as the operator set it.
struct TenantRow {
  TenantId tenant_id;
  std::string name;  ///< Unique; 1 .. 64 of [a-z0-9-].
  std::string profile = "guide";
  std::string base_url;
  std::string send_path;
  std::string token_url;
  std::string client_id;
  std::string client_secret_file;  ///< Read by the gateway; the secret itself is not stored.
  std::string ca_file;
  std::string webhook_key;                 ///< The unguessable part of its webhook's path.
  std::string webhook_key_before = {};     ///< The one before it, which is taken ...
  WallTime webhook_key_before_until{};     ///< ... until then.
  std::string webhook_secret_file = {};    ///< Read by the gateway; empty: webhooks are not signed.
  std::chrono::seconds webhook_window{0};  ///< See CheckSignature (provider/signature.h).
  double rate_per_s = 4.9;
  int burst = 5;
  /// All requests that its credential may make, reads included; none: as rate_per_s and burst.
  std::optional<std::int64_t> requests_per_minute = {};
  bool strict = false;          ///< SendMessage must name a conversation.
  int active_conversation = 1;  ///< As ActiveConversation (provider/provider.h).
  bool refused_at_edge = false;
  OptOutScope opt_out_scope = OptOutScope::kSender;             ///< Of keywords and receipts.
  std::optional<std::int64_t> queue_limit = {};                 ///< None: see QueueLimitOf.
  std::optional<std::int64_t> daily_quota = {};                 ///< None: no limit.
  std::optional<std::int64_t> keep_texts_days = {};             ///< None: as long as the message.
  std::optional<std::int64_t> keep_numbers_days = {};           ///< The same.
  CampaignClass default_class = CampaignClass::kTransactional;  ///< Of messages without another.
  QuietSetting quiet = {};
  std::vector<SenderRow> senders;

  // What ApplySetup sets (store/setup.h).
  bool campaign_required = false;
  bool plain_punctuation = false;
  std::vector<Campaign> campaigns = {};  ///< By campaign_id; so the others by their names.
  std::vector<MessageTemplate> templates = {};
  std::vector<Destination> destinations = {};
  ComplianceCheck compliance_check = {};
  std::string opt_out_confirmation = {};  ///< As in TenantSetup.

  /// As Campaign's, of its campaigns that are not registered; PutTenant leaves it alone.
  int verdict_epoch = 0;
};

/// How many of its messages may wait: queue_limit, else what its rate drains in
/// kQueueLimitSeconds, but kQueueLimitLeast at least.
std::int64_t QueueLimitOf(const TenantRow& tenant);

/// An API token as stored: never the token itself.
struct ApiTokenRow {
  std::string token_sha256;  ///< 32 bytes.
  TenantId tenant_id;        ///< Nil: an operator's.
  std::string name;
  std::vector<std::string> scopes;  ///< "send", "read"; or "operator", "unmask"
  WallTime expires_at{};            ///< Epoch: never.
  bool revoked = false;
  std::optional<std::int64_t> daily_quota = {};  ///< None: no limit of its own.
};

/// Tenants, their senders and tokens. Part of Store; errors as there.
class TenantStore {
 public:
  virtual ~TenantStore() = default;

  virtual absl::StatusOr<std::vector<TenantRow>> LoadTenants() = 0;
  /// Makes the tenant of this name, or sets everything of it but its id, webhook keys, senders and
  /// what ApplySetup sets to `row`; adds senders it does not have. Returns it as stored.
  /// ALREADY_EXISTS when another tenant has its Genesys organisation; FAILED_PRECONDITION "rate:
  /// why" when its compliance check leaves no room for the rate at its account.
  virtual absl::StatusOr<TenantRow> PutTenant(const TenantRow& row) = 0;
  /// Gives the tenant `key` for its webhook's path; the one that it had is taken for `keep` more.
  /// Returns it as stored; NOT_FOUND when there is no tenant `name`.
  virtual absl::StatusOr<TenantRow> ChangeWebhookKey(const std::string& name,
                                                     const std::string& key,
                                                     std::chrono::seconds keep) = 0;
  virtual absl::Status AddToken(const ApiTokenRow& row) = 0;
  /// NOT_FOUND when there is no such token.
  virtual absl::StatusOr<ApiTokenRow> FindToken(const std::string& token_sha256) = 0;
};

}  // namespace postrider
