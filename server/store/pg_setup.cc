#include "server/store/pg_setup.h"

#include <algorithm>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_verdicts.h"

namespace postrider {

namespace {

#define PR_CAMPAIGN_COLUMNS \
  "c.tenant_id, c.campaign_id, c.class, c.active, " PR_US("c.active_from") ", " PR_US(       \
      "c.active_until") ", c.daily_cap, c.templates, c.forbidden_words, c.links, c.link_hosts, " \
                        "c.shorteners, c.opt_out_text, c.verdict_epoch"

constexpr Query kCampaigns{"campaigns", "SELECT " PR_CAMPAIGN_COLUMNS
                                        " FROM campaign c ORDER BY c.tenant_id, c.campaign_id"};
constexpr Query kTemplates{
    "templates", "SELECT p.tenant_id, p.name, p.body FROM template p ORDER BY p.tenant_id, p.name"};
constexpr Query kDestinations{"destinations",
                              "SELECT d.tenant_id, d.prefix, d.daily_cap FROM destination d "
                              "ORDER BY d.tenant_id, d.prefix"};

// The tenant's row is the lock of its setup.
constexpr Query kLockSetup{"setup_lock",
                           "SELECT t.campaign_required, t.plain_punctuation, "
                           "t.opt_out_confirmation FROM tenant t "
                           "WHERE t.tenant_id = $1::uuid FOR UPDATE"};
constexpr Query kSetupSenders{
    "setup_senders",
    "SELECT s.address, s.segments_per_s::text, s.ten_dlc_campaign, s.active FROM sender s "
    "WHERE s.tenant_id = $1::uuid ORDER BY s.address"};
constexpr Query kSetupCampaigns{"setup_campaigns", "SELECT " PR_CAMPAIGN_COLUMNS
                                                   " FROM campaign c WHERE c.tenant_id = $1::uuid "
                                                   "ORDER BY c.campaign_id"};
constexpr Query kSetupTemplates{"setup_templates",
                                "SELECT p.tenant_id, p.name, p.body FROM template p "
                                "WHERE p.tenant_id = $1::uuid ORDER BY p.name"};
constexpr Query kSetupDestinations{"setup_destinations",
                                   "SELECT d.tenant_id, d.prefix, d.daily_cap FROM destination d "
                                   "WHERE d.tenant_id = $1::uuid ORDER BY d.prefix"};

constexpr Query kPutSettings{
    "setup_put_settings",
    "UPDATE tenant t SET campaign_required = $2::boolean, plain_punctuation = $3::boolean "
    "WHERE t.tenant_id = $1::uuid"};

constexpr Query kConfirmOptOuts{
    "setup_confirm_opt_outs",
    "UPDATE tenant t SET opt_out_confirmation = $2::text WHERE t.tenant_id = $1::uuid"};

constexpr Query kPutSenders{"setup_put_senders", R"(
INSERT INTO sender AS s (tenant_id, sender_id, address, segments_per_s, ten_dlc_campaign, active)
SELECT $1::uuid, gen_random_uuid(), r.address, nullif(r.segments_per_s, '')::double precision,
  r.ten_dlc_campaign, r.active
FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[])
  AS r(address, segments_per_s, ten_dlc_campaign, active) ORDER BY r.address
ON CONFLICT (tenant_id, address) DO UPDATE SET segments_per_s = excluded.segments_per_s,
  ten_dlc_campaign = excluded.ten_dlc_campaign, active = excluded.active)"};

// One that is registered again does not get the verdicts back that its clusters had voided. Lists
// within a row come as one text each, since arrays of arrays are rectangular.
constexpr Query kPutCampaigns{"setup_put_campaigns", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($2::text[], $3::smallint[], $4::boolean[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::text[], $9::text[], $10::smallint[], $11::text[], $12::boolean[],
    $13::text[])
  AS r(campaign_id, class, active, from_us, until_us, daily_cap, templates, forbidden_words, links,
    link_hosts, shorteners, opt_out_text)),
gone AS (
  DELETE FROM campaign c WHERE c.tenant_id = $1::uuid AND c.campaign_id <> ALL($2::text[]))
INSERT INTO campaign AS c (tenant_id, campaign_id, class, active, active_from, active_until,
  daily_cap, templates, forbidden_words, links, link_hosts, shorteners, opt_out_text,
  verdict_epoch)
SELECT $1::uuid, r.campaign_id, r.class, r.active,
  timestamptz 'epoch' + r.from_us * interval '1 microsecond',
  timestamptz 'epoch' + r.until_us * interval '1 microsecond', r.daily_cap, r.templates::text[],
  r.forbidden_words::text[], r.links, r.link_hosts::text[], r.shorteners, r.opt_out_text,
  (SELECT count(*) FROM content_cluster k WHERE k.tenant_id = $1::uuid
    AND k.campaign_id = r.campaign_id)
FROM r ORDER BY r.campaign_id
ON CONFLICT (tenant_id, campaign_id) DO UPDATE SET class = excluded.class,
  active = excluded.active, active_from = excluded.active_from,
  active_until = excluded.active_until, daily_cap = excluded.daily_cap,
  templates = excluded.templates, forbidden_words = excluded.forbidden_words,
  links = excluded.links, link_hosts = excluded.link_hosts, shorteners = excluded.shorteners,
  opt_out_text = excluded.opt_out_text, changed_at = excluded.changed_at
WHERE (c.class, c.active, c.active_from, c.active_until, c.daily_cap, c.templates,
    c.forbidden_words, c.links, c.link_hosts, c.shorteners, c.opt_out_text)
  IS DISTINCT FROM (excluded.class, excluded.active, excluded.active_from, excluded.active_until,
    excluded.daily_cap, excluded.templates, excluded.forbidden_words, excluded.links,
    excluded.link_hosts, excluded.shorteners, excluded.opt_out_text))"};

constexpr Query kPutTemplates{"setup_put_templates", R"(
WITH gone AS (
  DELETE FROM template p WHERE p.tenant_id = $1::uuid AND p.name <> ALL($2::text[]))
INSERT INTO template AS p (tenant_id, name, body)
SELECT $1::uuid, r.name, r.body FROM unnest($2::text[], $3::text[]) AS r(name, body)
ORDER BY r.name ON CONFLICT (tenant_id, name)
DO UPDATE SET body = excluded.body, changed_at = excluded.changed_at
WHERE p.body <> excluded.body)"};

constexpr Query kPutDestinations{"setup_put_destinations", R"(
WITH gone AS (
  DELETE FROM destination d WHERE d.tenant_id = $1::uuid AND d.prefix <> ALL($2::text[]))
INSERT INTO destination AS d (tenant_id, prefix, daily_cap)
SELECT $1::uuid, r.prefix, r.daily_cap FROM unnest($2::text[], $3::bigint[])
  AS r(prefix, daily_cap)
ORDER BY r.prefix ON CONFLICT (tenant_id, prefix)
DO UPDATE SET daily_cap = excluded.daily_cap, changed_at = excluded.changed_at
WHERE d.daily_cap IS DISTINCT FROM excluded.daily_cap)"};

std::optional<std::int64_t> CapAt(const PgRows& rows, int row, int column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return rows.Int(row, column);
}

Campaign ReadCampaign(const PgRows& rows, int row) {
  Campaign campaign{.campaign_id = std::string(rows.Text(row, 1))};
  campaign.campaign_class = static_cast<CampaignClass>(rows.Int(row, 2));
  campaign.active = rows.Bool(row, 3);
  campaign.active_from = rows.Time(row, 4);
  campaign.active_until = rows.Time(row, 5);
  campaign.daily_cap = CapAt(rows, row, 6);
  campaign.templates = rows.Texts(row, 7);
  campaign.forbidden_words = rows.Texts(row, 8);
  campaign.links = static_cast<LinkRule>(rows.Int(row, 9));
  campaign.link_hosts = rows.Texts(row, 10);
  campaign.shorteners = rows.Bool(row, 11);
  campaign.opt_out_text = rows.Text(row, 12);
  campaign.verdict_epoch = static_cast<int>(rows.Int(row, 13));
  return campaign;
}

MessageTemplate ReadTemplate(const PgRows& rows, int row) {
  return {std::string(rows.Text(row, 1)), std::string(rows.Text(row, 2))};
}

Destination ReadDestination(const PgRows& rows, int row) {
  return {std::string(rows.Text(row, 1)), CapAt(rows, row, 2)};
}

/// The tenant's setup, locked until the transaction ends; nothing when there is no tenant.
std::optional<TenantSetup> LockSetup(PgTransaction& transaction, TenantId tenant) {
  PgParams key;
  key.Add(tenant.uuid);
  const PgRows locked = transaction.Run(kLockSetup, key);
  if (locked.size() == 0) return std::nullopt;
  TenantSetup setup;
  setup.campaign_required = locked.Bool(0, 0);
  setup.plain_punctuation = locked.Bool(0, 1);
  setup.opt_out_confirmation = locked.Text(0, 2);
  const PgRows senders = transaction.Run(kSetupSenders, key);
  for (int row = 0; row < senders.size(); ++row) {
    if (!setup.senders) setup.senders.emplace();
    SenderSetup& sender = setup.senders->emplace_back();
    sender.address = senders.Text(row, 0);
    if (!senders.IsNull(row, 1)) {
      sender.segments_per_s = std::stod(std::string(senders.Text(row, 1)));
    }
    sender.ten_dlc_campaign = senders.Text(row, 2);
    sender.active = senders.Bool(row, 3);
  }
  const auto read = [&](const Query& query, auto& section, auto read_one) {
    section.emplace();
    const PgRows rows = transaction.Run(query, key);
    for (int row = 0; row < rows.size(); ++row) section->push_back(read_one(rows, row));
  };
  read(kSetupCampaigns, setup.campaigns, ReadCampaign);
  read(kSetupTemplates, setup.templates, ReadTemplate);
  read(kSetupDestinations, setup.destinations, ReadDestination);
  setup.compliance_check = ReadComplianceCheck(transaction, tenant);
  return setup;
}

/// For the record: what differs only.
ShownChange ShownOf(const std::vector<SetupChange>& changes) {
  Metadata before;
  Metadata after;
  for (const SetupChange& change : changes) {
    if (!change.before.empty()) before[change.path] = change.before;
    if (!change.after.empty()) after[change.path] = change.after;
  }
  return {.before = JsonOf(before), .after = JsonOf(after)};
}

void AppendCap(std::string& to, std::optional<std::int64_t> cap) {
  to += cap ? StrCat(*cap) : "NULL";
}

void AppendTruth(std::string& to, bool value) { to += value ? "true" : "false"; }

void PutSenders(PgTransaction& transaction, TenantId tenant,
                const std::vector<SenderSetup>& senders) {
  PgParams params;
  params.Add(tenant.uuid);
  AddColumn(params, senders, [](auto& to, const auto& s) { AppendText(to, s.address); });
  AddColumn(params, senders, [](auto& to, const auto& s) {
    AppendText(to, s.segments_per_s ? StrCat(*s.segments_per_s) : "");
  });
  AddColumn(params, senders, [](auto& to, const auto& s) { AppendText(to, s.ten_dlc_campaign); });
  AddColumn(params, senders, [](auto& to, const auto& s) { AppendTruth(to, s.active); });
  transaction.Run(kPutSenders, params);
}

void PutCampaigns(PgTransaction& transaction, TenantId tenant,
                  const std::vector<Campaign>& campaigns) {
  PgParams params;
  params.Add(tenant.uuid);
  const auto column = [&](auto append) { AddColumn(params, campaigns, append); };
  const auto list = [&](auto list_of) {
    column([list_of](std::string& to, const Campaign& c) {
      PgParams inner;
      AddColumn(inner, list_of(c), [](auto& text, const auto& one) { AppendText(text, one); });
      AppendText(to, *inner.values().front());
    });
  };
  column([](auto& to, const Campaign& c) { AppendText(to, c.campaign_id); });
  column([](auto& to, const Campaign& c) { StrAppend(to, static_cast<int>(c.campaign_class)); });
  column([](auto& to, const Campaign& c) { AppendTruth(to, c.active); });
  column([](auto& to, const Campaign& c) { AppendTime(to, c.active_from); });
  column([](auto& to, const Campaign& c) { AppendTime(to, c.active_until); });
  column([](auto& to, const Campaign& c) { AppendCap(to, c.daily_cap); });
  list([](const Campaign& c) -> const auto& { return c.templates; });
  list([](const Campaign& c) -> const auto& { return c.forbidden_words; });
  column([](auto& to, const Campaign& c) { StrAppend(to, static_cast<int>(c.links)); });
  list([](const Campaign& c) -> const auto& { return c.link_hosts; });
  column([](auto& to, const Campaign& c) { AppendTruth(to, c.shorteners); });
  column([](auto& to, const Campaign& c) { AppendText(to, c.opt_out_text); });
  transaction.Run(kPutCampaigns, params);
}

void PutTemplates(PgTransaction& transaction, TenantId tenant,
                  const std::vector<MessageTemplate>& templates) {
  PgParams params;
  params.Add(tenant.uuid);
  AddColumn(params, templates, [](auto& to, const auto& t) { AppendText(to, t.name); });
  AddColumn(params, templates, [](auto& to, const auto& t) { AppendText(to, t.text); });
  transaction.Run(kPutTemplates, params);
}

void PutDestinations(PgTransaction& transaction, TenantId tenant,
                     const std::vector<Destination>& destinations) {
  PgParams params;
  params.Add(tenant.uuid);
  AddColumn(params, destinations, [](auto& to, const auto& d) { AppendText(to, d.prefix); });
  AddColumn(params, destinations, [](auto& to, const auto& d) { AppendCap(to, d.daily_cap); });
  transaction.Run(kPutDestinations, params);
}

}  // namespace

const Campaign* FindCampaign(const TenantRow& tenant, const std::string& campaign_id) {
  const auto found =
      std::find_if(tenant.campaigns.begin(), tenant.campaigns.end(),
                   [&](const Campaign& campaign) { return campaign.campaign_id == campaign_id; });
  return found == tenant.campaigns.end() ? nullptr : &*found;
}

TenantSetup SetupOf(const TenantRow& tenant) {
  TenantSetup setup;
  setup.campaign_required = tenant.campaign_required;
  setup.plain_punctuation = tenant.plain_punctuation;
  setup.senders.emplace();
  for (const SenderRow& sender : tenant.senders) {
    setup.senders->push_back(
        {sender.address, sender.segments_per_s, sender.ten_dlc_campaign, sender.active});
  }
  std::sort(setup.senders->begin(), setup.senders->end(),
            [](const auto& a, const auto& b) { return a.address < b.address; });
  setup.campaigns = tenant.campaigns;
  setup.templates = tenant.templates;
  setup.destinations = tenant.destinations;
  setup.compliance_check = tenant.compliance_check;
  setup.opt_out_confirmation = tenant.opt_out_confirmation;
  return setup;
}

void SetupRows::MoveTo(TenantRow& tenant) {
  tenant.campaigns = std::move(campaigns[tenant.tenant_id]);
  tenant.templates = std::move(templates[tenant.tenant_id]);
  tenant.destinations = std::move(destinations[tenant.tenant_id]);
  tenant.compliance_check = std::move(checks[tenant.tenant_id]);
}

SetupRows ReadSetups(PgTransaction& transaction) {
  SetupRows all;
  const auto read = [&](const Query& query, auto& by_tenant, auto read_one) {
    const PgRows rows = transaction.Run(query, {});
    for (int row = 0; row < rows.size(); ++row) {
      by_tenant[{rows.UuidAt(row, 0)}].push_back(read_one(rows, row));
    }
  };
  read(kCampaigns, all.campaigns, ReadCampaign);
  read(kTemplates, all.templates, ReadTemplate);
  read(kDestinations, all.destinations, ReadDestination);
  all.checks = ReadComplianceChecks(transaction);
  return all;
}

absl::StatusOr<AppliedSetup> PgSetupStore::ApplySetup(TenantId tenant, const TenantSetup& given,
                                                      const std::optional<OperatorAction>& action) {
  AppliedSetup applied;
  PR_RETURN_IF_ERROR(pool_.Transact("apply_setup", [&](PgTransaction& transaction) {
    applied = {};
    const std::optional<TenantSetup> stored = LockSetup(transaction, tenant);
    if (!stored) return absl::NotFoundError("no such tenant");
    const TenantSetup next = WithSections(*stored, given);
    applied.violations = CheckSetup(next);
    for (SetupViolation& found :
         ComplianceViolations(transaction, tenant, *next.compliance_check)) {
      applied.violations.push_back(std::move(found));
    }
    if (!applied.violations.empty()) return absl::OkStatus();
    applied.changes = ChangesBetween(*stored, next);
    if (!action || applied.changes.empty()) return absl::OkStatus();
    if (given.campaign_required || given.plain_punctuation) {
      PgParams params;
      params.Add(tenant.uuid).Add(*next.campaign_required ? "true" : "false");
      transaction.Run(kPutSettings, params.Add(*next.plain_punctuation ? "true" : "false"));
    }
    if (given.opt_out_confirmation) {
      PgParams params;
      params.Add(tenant.uuid).Add(std::string_view(*given.opt_out_confirmation));
      transaction.Run(kConfirmOptOuts, params);
    }
    if (given.senders) PutSenders(transaction, tenant, *next.senders);
    if (given.campaigns) PutCampaigns(transaction, tenant, *next.campaigns);
    if (given.templates) PutTemplates(transaction, tenant, *next.templates);
    if (given.destinations) PutDestinations(transaction, tenant, *next.destinations);
    if (given.compliance_check) PutComplianceCheck(transaction, tenant, *next.compliance_check);
    RecordAction(transaction, tenant, *action, "APPLY_SETUP",
                 StrCat(applied.changes.size(), " changes"), ShownOf(applied.changes));
    return absl::OkStatus();
  }));
  return applied;
}

std::vector<Query> SetupQueries() {
  return {kLockSetup,         kSetupSenders, kSetupCampaigns, kSetupTemplates,
          kSetupDestinations, kPutSettings,  kConfirmOptOuts, kPutSenders,
          kPutCampaigns,      kPutTemplates, kPutDestinations};
}

}  // namespace postrider
