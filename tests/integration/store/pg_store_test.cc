#include "server/store/pg_store.h"

#include <memory>

#include <gtest/gtest.h>

#include "server/base/clock.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "tests/support/consent_contract.h"
#include "tests/support/contacts_contract.h"
#include "tests/support/content_contract.h"
#include "tests/support/send_counts.h"
#include "tests/support/shifted_clock.h"
#include "tests/support/test_database.h"

namespace postrider {
namespace {

/// A PgStore on a database of its own. Time passes by moving every stored time back. At the end the
/// counts of sends are exact, whatever was done.
struct Subject {
  TestDatabase database;
  ShiftedClock clock;
  OsRandom random;
  PgStore store{clock, random, {.pool = {.conninfo = database.url(), .max_sessions = 4}}};
  PgPool sql{clock, random, {.conninfo = database.url(), .max_sessions = 1}};

  ~Subject() {
    const absl::Status counted = sql.Transact("test", [&](PgTransaction& transaction) {
      const PgRows wrong = transaction.RunOnce(kWrongSendCounts);
      for (int row = 0; row < wrong.size(); ++row) ADD_FAILURE() << wrong.Text(row, 0);
      return absl::OkStatus();
    });
    EXPECT_TRUE(counted.ok()) << counted;
  }

  void Execute(const std::string& statement) {
    const absl::Status done = sql.Transact("test", [&](PgTransaction& transaction) {
      transaction.RunOnce(statement);
      return absl::OkStatus();
    });
    ASSERT_TRUE(done.ok()) << done;
  }

  void Advance(std::chrono::nanoseconds by) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(by);
    const std::string back = StrCat(" - interval '", us.count(), " microseconds'");
    const std::pair<const char*, const char*> times[] = {{"replica", "expires_at"},
                                                         {"dispatch_queue", "due_at"},
                                                         {"dispatch_queue", "expire_at"},
                                                         {"receipt_parked", "parked_at"},
                                                         {"receipt_parked", "next_try_at"},
                                                         {"reconcile_queue", "since"},
                                                         {"reconcile_queue", "next_read_at"},
                                                         {"message", "updated_at"},
                                                         {"tick", "at"},
                                                         {"erasure_waiting", "next_try_at"},
                                                         {"quota_used", "day"},
                                                         {"tenant_pause", "until"},
                                                         {"breaker_state", "changed_at"},
                                                         {"breaker_state", "open_until"},
                                                         {"breaker_state", "override_until"}};
    for (const auto& [table, column] : times) {
      Execute(StrCat("UPDATE ", table, " SET ", column, " = ", column, back));
    }
    Execute(StrCat("UPDATE breaker_count SET bucket = bucket - ", by / kBreakerBucket));
    clock.Advance(by);
  }
};

StoreSubject MakePgSubject() {
  auto subject = std::make_shared<Subject>();
  EXPECT_TRUE(subject->store.Prepare().ok());
  return {.store = std::shared_ptr<Store>(subject, &subject->store),
          .now = [] { return SystemClock().Wall(); },
          .advance = [subject](std::chrono::nanoseconds by) { subject->Advance(by); },
          .suppress =
              [subject](TenantId tenant, const std::string& recipient) {
                subject->Execute(StrCat(
                    "INSERT INTO suppression (tenant_id, recipient_key, sender_id) VALUES ('",
                    tenant.ToString(), "', convert_to('", recipient, "', 'UTF8'), '",
                    Uuid{}.ToString(), "')"));
              },
          .confirm_opt_outs =
              [subject](TenantId tenant, const std::string& text) {
                subject->Execute(StrCat("UPDATE tenant SET opt_out_confirmation = '", text,
                                        "' WHERE tenant_id = '", tenant.ToString(), "'"));
              }};
}

INSTANTIATE_TEST_SUITE_P(Postgres, StoreContract,
                         ::testing::Values(StoreFactory{"Postgres", MakePgSubject}));
INSTANTIATE_TEST_SUITE_P(Postgres, ConsentContract,
                         ::testing::Values(StoreFactory{"Postgres", MakePgSubject}));
INSTANTIATE_TEST_SUITE_P(Postgres, ContentContract,
                         ::testing::Values(StoreFactory{"Postgres", MakePgSubject}));
INSTANTIATE_TEST_SUITE_P(Postgres, AnswerContract,
                         ::testing::Values(StoreFactory{"Postgres", MakePgSubject}));
INSTANTIATE_TEST_SUITE_P(Postgres, ContactsContract,
                         ::testing::Values(StoreFactory{"Postgres", MakePgSubject}));

}  // namespace
}  // namespace postrider
