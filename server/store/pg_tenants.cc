#include <map>
#include <optional>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_setup.h"
#include "server/store/pg_store.h"
#include "server/store/pg_verdicts.h"

namespace postrider {

namespace {

#define PR_TENANT_COLUMNS \
  "t.tenant_id, t.name, t.profile, t.base_url, t.send_path, t.token_url, t.client_id, "     \
  "t.client_secret_file, t.ca_file, t.webhook_key, t.rate_per_s::text, t.burst, t.strict, " \
  "t.active_conversation, t.refused_at_edge, t.queue_limit, t.daily_quota, "                \
  "t.requests_per_minute, t.webhook_secret_file, t.webhook_window_s, "                      \
  "t.webhook_key_before, " PR_US(                                                           \
      "t.webhook_key_before_until") ", t.keep_texts_days, t.keep_numbers_days, t.opt_out_scope, " \
                                    "t.campaign_required, "                            \
  "t.default_class, t.quiet_hours, t.quiet_from_min, t.quiet_to_min, t.quiet_zone, " \
  "t.plain_punctuation, t.opt_out_confirmation, t.verdict_epoch"
#define PR_SENDER_COLUMNS \
  "s.tenant_id, s.sender_id, s.address, s.segments_per_s::text, s.ten_dlc_campaign, s.active"

constexpr Query kTenants{"tenants", "SELECT " PR_TENANT_COLUMNS " FROM tenant t ORDER BY t.name"};
constexpr Query kSenders{
    "senders", "SELECT " PR_SENDER_COLUMNS " FROM sender s ORDER BY s.tenant_id, s.sender_id"};

constexpr Query kPutTenant{
    "put_tenant",
    "INSERT INTO tenant AS t (tenant_id, name, profile, base_url, send_path, token_url, client_id, "
    "client_secret_file, ca_file, webhook_key, rate_per_s, burst, strict, active_conversation, "
    "refused_at_edge, queue_limit, daily_quota, requests_per_minute, webhook_secret_file, "
    "webhook_window_s, keep_texts_days, keep_numbers_days, opt_out_scope, "
    "default_class, quiet_hours, quiet_from_min, quiet_to_min, quiet_zone) "
    "VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, "
    "$9::text, $10::text, $11::double precision, $12::integer, $13::boolean, $14::smallint, "
    "$15::boolean, nullif($16::text, '')::bigint, nullif($17::text, '')::bigint, "
    "nullif($18::text, '')::integer, $19::text, $20::integer, nullif($21::text, '')::integer, "
    "nullif($22::text, '')::integer, $23::smallint, $24::smallint, $25::boolean, "
    "nullif($26::text, '')::smallint, nullif($27::text, '')::smallint, $28::text) "
    "ON CONFLICT (name) DO UPDATE SET profile = excluded.profile, base_url = excluded.base_url, "
    "send_path = excluded.send_path, token_url = excluded.token_url, "
    "client_id = excluded.client_id, client_secret_file = excluded.client_secret_file, "
    "ca_file = excluded.ca_file, rate_per_s = excluded.rate_per_s, burst = excluded.burst, "
    "strict = excluded.strict, active_conversation = excluded.active_conversation, "
    "refused_at_edge = excluded.refused_at_edge, queue_limit = excluded.queue_limit, "
    "daily_quota = excluded.daily_quota, requests_per_minute = excluded.requests_per_minute, "
    "webhook_secret_file = excluded.webhook_secret_file, "
    "webhook_window_s = excluded.webhook_window_s, keep_texts_days = excluded.keep_texts_days, "
    "keep_numbers_days = excluded.keep_numbers_days, opt_out_scope = excluded.opt_out_scope, "
    "default_class = excluded.default_class, quiet_hours = excluded.quiet_hours, "
    "quiet_from_min = excluded.quiet_from_min, quiet_to_min = excluded.quiet_to_min, "
    "quiet_zone = excluded.quiet_zone "
    "RETURNING " PR_TENANT_COLUMNS};

constexpr Query kChangeWebhookKey{
    "change_webhook_key",
    "UPDATE tenant t SET webhook_key = $2::text, webhook_key_before = t.webhook_key, "
    "webhook_key_before_until = now() + $3::bigint * interval '1 second' "
    "WHERE t.name = $1::text RETURNING " PR_TENANT_COLUMNS};

// For operator_action: with the senders, and with hashes of keys in place of the keys.
#define PR_SHOWN_KEY(key)                                                        \
  "CASE WHEN " key " <> '' THEN 'sha256:' || left(encode(sha256(convert_to(" key \
  ", 'UTF8')), 'hex'), 8) END"
constexpr Query kTenantShown{
    "tenant_shown",
    "SELECT (to_jsonb(t) || jsonb_build_object('webhook_key', " PR_SHOWN_KEY("t.webhook_key")
    ", 'webhook_key_before', " PR_SHOWN_KEY("t.webhook_key_before") ", 'senders', (SELECT "
    "coalesce(jsonb_object_agg(s.address, s.segments_per_s), '{}') FROM sender s "
    "WHERE s.tenant_id = t.tenant_id)))::text FROM tenant t WHERE t.name = $1::text "
    "FOR NO KEY UPDATE OF t"};

constexpr Query kTokenShown{
    "token_shown",
    "SELECT jsonb_build_object('name', k.name, 'scopes', k.scopes, 'expires_at', k.expires_at, "
    "'daily_quota', k.daily_quota)::text FROM api_token k WHERE k.token_sha256 = $1::bytea"};

constexpr Query kOrganisationTaken{
    "organisation_taken",
    "SELECT t.name FROM tenant t WHERE t.base_url = $1::text AND t.client_id = $2::text "
    "AND t.name <> $3::text"};

constexpr Query kAddSenders{
    "add_senders",
    "INSERT INTO sender (tenant_id, sender_id, address, segments_per_s) "
    "SELECT $1::uuid, r.sender_id, r.address, nullif(r.segments_per_s, '')::double precision "
    "FROM unnest($2::uuid[], $3::text[], $4::text[]) AS r(sender_id, address, segments_per_s) "
    "ORDER BY 2 ON CONFLICT (tenant_id, address) DO UPDATE "
    "SET segments_per_s = excluded.segments_per_s"};

constexpr Query kSendersOf{"senders_of", "SELECT " PR_SENDER_COLUMNS
                                         " FROM sender s WHERE s.tenant_id = $1::uuid "
                                         "ORDER BY s.sender_id"};

constexpr Query kAddToken{
    "add_token",
    "INSERT INTO api_token (token_sha256, tenant_id, name, scopes, expires_at, daily_quota) "
    "SELECT $1::bytea, nullif($2::uuid, '00000000-0000-0000-0000-000000000000'), $3::text, "
    "$4::text[], timestamptz 'epoch' + x * interval '1 microsecond', "
    "nullif($6::text, '')::bigint FROM unnest($5::bigint[]) AS x"};

constexpr Query kFindToken{
    "find_token",
    "SELECT k.tenant_id, k.name, array_to_string(k.scopes, ','), " PR_US("k.expires_at")
    ", k.revoked_at IS NOT NULL AND k.revoked_at <= now(), k.daily_quota FROM api_token k "
    "WHERE k.token_sha256 = $1::bytea"};

std::optional<std::int64_t> MaybeInt(const PgRows& rows, int row, int column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return rows.Int(row, column);
}

std::string TextOf(std::optional<std::int64_t> number) {
  return number.has_value() ? StrCat(*number) : "";
}

TenantRow ReadTenant(const PgRows& rows, int row) {
  TenantRow tenant;
  tenant.tenant_id = {rows.UuidAt(row, 0)};
  tenant.name = rows.Text(row, 1);
  tenant.profile = rows.Text(row, 2);
  tenant.base_url = rows.Text(row, 3);
  tenant.send_path = rows.Text(row, 4);
  tenant.token_url = rows.Text(row, 5);
  tenant.client_id = rows.Text(row, 6);
  tenant.client_secret_file = rows.Text(row, 7);
  tenant.ca_file = rows.Text(row, 8);
  tenant.webhook_key = rows.Text(row, 9);
  tenant.rate_per_s = std::stod(std::string(rows.Text(row, 10)));
  tenant.burst = static_cast<int>(rows.Int(row, 11));
  tenant.strict = rows.Bool(row, 12);
  tenant.active_conversation = static_cast<int>(rows.Int(row, 13));
  tenant.refused_at_edge = rows.Bool(row, 14);
  tenant.queue_limit = MaybeInt(rows, row, 15);
  tenant.daily_quota = MaybeInt(rows, row, 16);
  tenant.requests_per_minute = MaybeInt(rows, row, 17);
  tenant.webhook_secret_file = rows.Text(row, 18);
  tenant.webhook_window = std::chrono::seconds(rows.Int(row, 19));
  tenant.webhook_key_before = rows.Text(row, 20);
  tenant.webhook_key_before_until = rows.Time(row, 21);
  tenant.keep_texts_days = MaybeInt(rows, row, 22);
  tenant.keep_numbers_days = MaybeInt(rows, row, 23);
  tenant.opt_out_scope = static_cast<OptOutScope>(rows.Int(row, 24));
  tenant.campaign_required = rows.Bool(row, 25);
  tenant.default_class = static_cast<CampaignClass>(rows.Int(row, 26));
  tenant.quiet.on = rows.Bool(row, 27);
  if (!rows.IsNull(row, 28)) {
    tenant.quiet.own = {static_cast<int>(rows.Int(row, 28)), static_cast<int>(rows.Int(row, 29))};
  }
  tenant.quiet.default_zone = rows.Text(row, 30);
  tenant.plain_punctuation = rows.Bool(row, 31);
  tenant.opt_out_confirmation = rows.Text(row, 32);
  tenant.verdict_epoch = static_cast<int>(rows.Int(row, 33));
  return tenant;
}

SenderRow ReadSender(const PgRows& rows, int row) {
  SenderRow sender{.sender_id = {rows.UuidAt(row, 1)}, .address = std::string(rows.Text(row, 2))};
  if (!rows.IsNull(row, 3)) sender.segments_per_s = std::stod(std::string(rows.Text(row, 3)));
  sender.ten_dlc_campaign = rows.Text(row, 4);
  sender.active = rows.Bool(row, 5);
  return sender;
}

void AddSendersOf(PgTransaction& transaction, TenantRow& tenant) {
  PgParams key;
  key.Add(tenant.tenant_id.uuid);
  const PgRows all = transaction.Run(kSendersOf, key);
  for (int i = 0; i < all.size(); ++i) tenant.senders.push_back(ReadSender(all, i));
}

std::vector<std::string> SplitByComma(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return parts;
}

/// What is done beside the gateway, by whoever can reach the database.
OperatorAction OfDatabaseUser(const Clock& clock, Random& random) {
  return {.action_id = MakeUuidV7(clock.Wall(), random), .actor = "", .reason = ""};
}

/// A tenant as it stands, for operator_action, and locked to the end; empty: there is none.
std::string ShownTenant(PgTransaction& transaction, const std::string& name) {
  const PgRows rows = transaction.Run(kTenantShown, PgParams().Add(std::string_view(name)));
  return rows.size() == 0 ? "" : std::string(rows.Text(0, 0));
}

}  // namespace

absl::StatusOr<std::vector<TenantRow>> PgStore::LoadTenants() {
  std::vector<TenantRow> tenants;
  PR_RETURN_IF_ERROR(pool_.Transact("load_tenants", [&](PgTransaction& transaction) {
    tenants.clear();
    std::map<TenantId, std::vector<SenderRow>> senders;
    const PgRows sender_rows = transaction.Run(kSenders, {});
    for (int row = 0; row < sender_rows.size(); ++row) {
      senders[{sender_rows.UuidAt(row, 0)}].push_back(ReadSender(sender_rows, row));
    }
    SetupRows setup = ReadSetups(transaction);
    const PgRows rows = transaction.Run(kTenants, {});
    for (int row = 0; row < rows.size(); ++row) {
      TenantRow& tenant = tenants.emplace_back(ReadTenant(rows, row));
      tenant.senders = std::move(senders[tenant.tenant_id]);
      setup.MoveTo(tenant);
    }
    return absl::OkStatus();
  }));
  return tenants;
}

absl::StatusOr<TenantRow> PgStore::PutTenant(const TenantRow& row) {
  TenantRow stored;
  PR_RETURN_IF_ERROR(pool_.Transact("put_tenant", [&](PgTransaction& transaction) {
    PgParams organisation;
    organisation.Add(row.base_url).Add(row.client_id).Add(row.name);
    const PgRows taken = transaction.Run(kOrganisationTaken, organisation);
    if (taken.size() > 0) {
      return absl::AlreadyExistsError(
          StrCat("tenant ", taken.Text(0, 0), " has this Genesys organisation already"));
    }
    PgParams params;
    params.Add(row.tenant_id.uuid).Add(row.name).Add(row.profile).Add(row.base_url);
    params.Add(row.send_path).Add(row.token_url).Add(row.client_id).Add(row.client_secret_file);
    params.Add(row.ca_file).Add(row.webhook_key).Add(StrCat(row.rate_per_s));
    params.Add(std::int64_t{row.burst}).Add(row.strict ? "true" : "false");
    params.Add(std::int64_t{row.active_conversation}).Add(row.refused_at_edge ? "true" : "false");
    params.Add(TextOf(row.queue_limit)).Add(TextOf(row.daily_quota));
    params.Add(TextOf(row.requests_per_minute)).Add(row.webhook_secret_file);
    params.Add(std::int64_t{row.webhook_window.count()});
    params.Add(TextOf(row.keep_texts_days)).Add(TextOf(row.keep_numbers_days));
    params.Add(static_cast<std::int64_t>(row.opt_out_scope));
    params.Add(static_cast<std::int64_t>(row.default_class)).Add(row.quiet.on ? "true" : "false");
    const std::optional<HourSpan>& own = row.quiet.own;
    params.Add(own ? StrCat(own->from_min) : "").Add(own ? StrCat(own->to_min) : "");
    params.Add(row.quiet.default_zone);
    const std::string before = ShownTenant(transaction, row.name);
    stored = ReadTenant(transaction.Run(kPutTenant, params), 0);

    PgParams senders;
    senders.Add(stored.tenant_id.uuid);
    AddColumn(senders, row.senders,
              [](auto& to, const SenderRow& s) { AppendUuid(to, s.sender_id.uuid); });
    AddColumn(senders, row.senders,
              [](auto& to, const SenderRow& s) { AppendText(to, s.address); });
    AddColumn(senders, row.senders, [](auto& to, const SenderRow& s) {
      AppendText(to, s.segments_per_s.has_value() ? StrCat(*s.segments_per_s) : "");
    });
    transaction.Run(kAddSenders, senders);
    AddSendersOf(transaction, stored);
    const auto unfit = ComplianceViolations(transaction, stored.tenant_id,
                                            ReadComplianceCheck(transaction, stored.tenant_id));
    if (!unfit.empty()) return absl::FailedPreconditionError(StrCat("rate: ", unfit[0].why));
    const std::string after = ShownTenant(transaction, row.name);
    if (after != before) {
      RecordAction(transaction, stored.tenant_id, OfDatabaseUser(clock_, random_), "PUT_TENANT",
                   "tenant", {before, after});
    }
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<TenantRow> PgStore::ChangeWebhookKey(const std::string& name, const std::string& key,
                                                    std::chrono::seconds keep) {
  TenantRow stored;
  PgParams params;
  params.Add(name).Add(key).Add(std::int64_t{keep.count()});
  PR_RETURN_IF_ERROR(pool_.Transact("change_webhook_key", [&](PgTransaction& transaction) {
    const std::string before = ShownTenant(transaction, name);
    const PgRows rows = transaction.Run(kChangeWebhookKey, params);
    if (rows.size() == 0) return absl::NotFoundError(StrCat("there is no tenant ", name));
    stored = ReadTenant(rows, 0);
    RecordAction(transaction, stored.tenant_id, OfDatabaseUser(clock_, random_),
                 "CHANGE_WEBHOOK_KEY", "tenant", {before, ShownTenant(transaction, name)});
    AddSendersOf(transaction, stored);
    return absl::OkStatus();
  }));
  return stored;
}

absl::Status PgStore::AddToken(const ApiTokenRow& row) {
  PgParams params;
  params.AddBytes(row.token_sha256).Add(row.tenant_id.uuid).Add(row.name);
  AddColumn(params, row.scopes, [](auto& to, const std::string& s) { AppendText(to, s); });
  params.AddArray(1, [&](std::string& to, std::size_t) { AppendTime(to, row.expires_at); });
  params.Add(TextOf(row.daily_quota));
  return pool_.Transact("add_token", [&](PgTransaction& transaction) {
    transaction.Run(kAddToken, params);
    const PgRows shown = transaction.Run(kTokenShown, PgParams().AddBytes(row.token_sha256));
    RecordAction(transaction, row.tenant_id, OfDatabaseUser(clock_, random_), "CREATE_TOKEN",
                 StrCat("token ", row.name), {.after = std::string(shown.Text(0, 0))});
    return absl::OkStatus();
  });
}

absl::StatusOr<ApiTokenRow> PgStore::FindToken(const std::string& token_sha256) {
  ApiTokenRow token;
  PgParams params;
  params.AddBytes(token_sha256);
  PR_RETURN_IF_ERROR(pool_.Read("find_token", [&](PgTransaction& transaction) {
    const PgRows rows = transaction.Run(kFindToken, params);
    if (rows.size() == 0) return absl::NotFoundError("no such token");
    token = {.token_sha256 = token_sha256,
             .tenant_id = {rows.UuidAt(0, 0)},
             .name = std::string(rows.Text(0, 1)),
             .scopes = SplitByComma(rows.Text(0, 2)),
             .expires_at = rows.Time(0, 3),
             .revoked = rows.Bool(0, 4),
             .daily_quota = MaybeInt(rows, 0, 5)};
    return absl::OkStatus();
  }));
  return token;
}

std::vector<Query> TenantQueries() {
  return {kTenants,  kSenders,   kPutTenant,        kOrganisationTaken, kAddSenders, kSendersOf,
          kAddToken, kFindToken, kChangeWebhookKey, kTenantShown,       kTokenShown};
}

}  // namespace postrider
