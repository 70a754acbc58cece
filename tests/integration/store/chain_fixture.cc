#include "tests/integration/store/chain_fixture.h"

#include "absl/strings/str_replace.h"
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

// All of it is one transaction: it is run at once.
constexpr const char* kRecord = R"(
INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt, final, provider_code,
  correlation_id, conversation_id, external_contact_id, campaign_id, at)
SELECT $SLOT, '$T', gen_random_uuid(), 1, 1, 1, 1, 1, false, 'code', 'correlation', gen_random_uuid(), 'contact', 'spring',
  now() - $DAYS * interval '1 day' FROM generate_series(1, $COUNT);
INSERT INTO consent_event (tenant_id, consent_id, recipient_key, sender_id, recipient, change, source, evidence, actor, reason,
  said_at, recorded_at)
SELECT '$T', gen_random_uuid(), convert_to('+1555' || n, 'UTF8'), gen_random_uuid(), '+1555' || n, 1, 3, 'evidence', 'ann',
  'asked', now(), now() - $DAYS * interval '1 day' FROM generate_series(1, $COUNT / 2) n;
INSERT INTO operator_action (tenant_id, action_id, actor, action, target, reason, at, before, after)
SELECT '$T', gen_random_uuid(), 'ann', 'PAUSE', 'tenant', 'reason', now() - $DAYS * interval '1 day', '{"rate": 1}',
  jsonb_build_object('rate', n) FROM generate_series(1, $COUNT / 2) n)";

}  // namespace

std::int64_t SealAll(SqlSession& sql, ChainSealer& sealer) {
  sql.Run(
      "INSERT INTO tick (tick_no, snap, nonce) SELECT t.tick_no + 1, pg_current_snapshot(), "
      "gen_random_uuid() FROM tick t ORDER BY t.tick_no DESC LIMIT 1");
  std::int64_t rows = 0;
  bool more = true;
  while (more) {
    const absl::StatusOr<SealedRows> sealed = sealer.Seal();
    EXPECT_TRUE(sealed.ok()) << sealed.status();
    if (!sealed.ok()) break;
    rows += sealed->rows;
    more = sealed->more;
  }
  return rows;
}

void ChainFixture::Record(TenantId tenant, int count, int age_days) {
  pg.sql.Run(absl::StrReplaceAll(kRecord, {{"$T", tenant.ToString()},
                                           {"$SLOT", StrCat(SlotOf(tenant))},
                                           {"$DAYS", StrCat(age_days)},
                                           {"$COUNT", StrCat(count)}}));
}

ChainReport ChainFixture::Verify(const std::string& tenant, const std::string& expect_head) {
  const absl::StatusOr<ChainReport> report =
      VerifyChains(pool, {.tenant = tenant,
                          .kept_since = pg.clock.Wall() - std::chrono::hours(24 * 400),
                          .expect_head = expect_head});
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : ChainReport{};
}

ChainState ChainFixture::Of(const std::string& tenant) {
  for (const ChainState& chain : Verify().chains) {
    if (chain.tenant == tenant) return chain;
  }
  ADD_FAILURE() << "no chain of " << tenant;
  return {};
}

std::vector<std::string> ChainFixture::Faults() {
  std::vector<std::string> faults;
  for (const ChainFault& fault : Verify().faults) {
    faults.push_back(fault.why.empty() ? StrCat(fault.verdict, " ", fault.table, " ", fault.link_no)
                                       : StrCat(fault.verdict, " ", fault.seal_no));
  }
  return faults;
}

}  // namespace postrider
