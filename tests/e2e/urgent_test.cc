// A one-time code among masses of bulk messages: the next to leave.
#include <algorithm>
#include <chrono>
#include <ctime>

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "server/base/strings.h"
#include "server/model/ids.h"
#include "tests/e2e/rig.h"
#include "tests/support/await.h"
#include "tests/support/invariants.h"

namespace postrider {
namespace {

constexpr int kQueued = 100'000;
constexpr int kMasses = 1'000'000;

/// `count` messages of `tenant` that are due, otherwise as `message_id`, which waits.
void QueueCopies(const Rig& rig, const std::string& message_id, const std::string& tenant,
                 int count) {
  const std::string columns = rig.sql.Text(
      "SELECT string_agg(quote_ident(column_name), ', ') "
      "FROM information_schema.columns WHERE table_schema = 'postrider' "
      "AND table_name = 'message' "
      "AND column_name NOT IN ('tenant_id', 'message_id', 'request_id')");
  const std::string id = "(left(x.message_id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid";
  const std::string of =
      StrCat(" x, generate_series(1, ", count, ") n WHERE x.message_id = '", message_id, "'");
  rig.sql.Ask(StrCat("INSERT INTO message (tenant_id, message_id, request_id, ", columns,
                     ") SELECT '", tenant, "', ", id, ", 'copy-' || n, ", columns, " FROM message",
                     of));
  rig.sql.Ask(StrCat("INSERT INTO dispatch_queue SELECT '", tenant, "', ", id,
                     ", x.slot, x.priority, x.campaign_id, x.sender_id, x.recipient_key, now() ",
                     "FROM dispatch_queue", of));
  rig.sql.Ask(StrCat("INSERT INTO queue_depth VALUES ('", tenant, "', 999, ", count, ")"));
}

/// Another tenant in the slot of the default one, with its sender and its licence, and the sandbox
/// for its Genesys too. Its id.
std::string AddTenantOfSameSlot(const Rig& rig) {
  const auto theirs = TenantId::Parse(rig.sql.Text("SELECT tenant_id FROM tenant"));
  EXPECT_TRUE(theirs.ok()) << theirs.status();
  OsRandom random;
  TenantId tenant;
  do {
    tenant = {MakeUuidV4(random)};
  } while (SlotOf(tenant) != SlotOf(*theirs));
  const std::string id = tenant.ToString();
  // An organisation is known by its address: this is the sandbox by another name.
  rig.sql.Ask(
      StrCat("INSERT INTO tenant SELECT p.* FROM tenant t, jsonb_populate_record(t, "
             "jsonb_build_object('tenant_id', '",
             id, "', 'name', 'masses', 'base_url', ",
             "replace(t.base_url, '127.0.0.1', 'localhost'), 'webhook_key', 'masses')) p"));
  rig.sql.Ask(
      StrCat("INSERT INTO sender SELECT p.* FROM sender s, jsonb_populate_record(s, "
             "jsonb_build_object('tenant_id', '",
             id, "')) p"));
  return id;
}

v1::SendMessageRequest BulkForTomorrow() {
  v1::SendMessageRequest bulk = RequestTo("+15551230000", "news");
  bulk.set_priority(v1::PRIORITY_BULK);
  bulk.mutable_not_before()->set_seconds(std::time(nullptr) + 86'400);
  return bulk;
}

/// Sends a one-time code to kRecipient, and waits until it has left.
std::string SendCode(Rig& rig) {
  v1::SendMessageRequest code = RequestTo(kRecipient, "Your code is 123456");
  code.set_priority(v1::PRIORITY_URGENT);
  std::string id = rig.Send(code);
  EXPECT_TRUE(Await([&] {
    const v1::MessageState state = rig.StateOf(id);
    return state != v1::MESSAGE_STATE_QUEUED && state != v1::MESSAGE_STATE_DISPATCHING;
  }));
  return id;
}

TEST(UrgentTest, ACodeIsTheNextToLeaveThoughTheSameSenderHasAHundredThousandBulkMessages) {
  Rig rig({.flags = {"--rate-per-second", "2", "--burst", "1", "--sender-rate", "2",
                     "--queue-limit", StrCat(kQueued * 2)}});
  const std::string tenant = rig.sql.Text("SELECT tenant_id FROM tenant");
  QueueCopies(rig, rig.Send(BulkForTomorrow()), tenant, kQueued);
  const auto posts = [&] { return ReadLedger(rig.gateway.ledger_file()); };
  ASSERT_TRUE(Await([&] { return posts().size() >= 4; })) << "the masses are on their way";

  const std::size_t before = posts().size();
  SendCode(rig);
  const std::vector<LedgerPost> ledger = posts();
  const auto at = std::find_if(ledger.begin(), ledger.end(),
                               [](const LedgerPost& post) { return post.recipient == kRecipient; });
  ASSERT_NE(at, ledger.end());
  // One may have been leaving while the call was under way.
  EXPECT_LE(at - ledger.begin(), static_cast<std::ptrdiff_t>(before) + 1);
}

TEST(UrgentTest, ACodeIsTheNextToLeaveThoughAnotherTenantHasAMillionBulkMessages) {
  Rig rig(
      {.flags = {"--rate-per-second", "4.9", "--burst", "1", "--sandbox-rate-per-minute", "6000"}});
  const std::string masses = AddTenantOfSameSlot(rig);
  QueueCopies(rig, rig.Send(BulkForTomorrow()), masses, kMasses);
  const auto posts = [&] { return ReadLedger(rig.gateway.ledger_file()); };
  ASSERT_TRUE(Await([&] { return posts().size() >= 10; })) << "the masses are on their way";

  const std::string id = SendCode(rig);
  const std::int64_t accepted_us = rig.sql.Number(
      StrCat("SELECT (extract(epoch FROM accepted_at) * 1000000)::bigint FROM message "
             "WHERE message_id = '",
             id, "'"));
  int between = 0;
  bool left = false;
  for (const LedgerPost& post : posts()) {
    left = left || post.recipient == kRecipient;
    const auto at =
        std::chrono::duration_cast<std::chrono::microseconds>(post.at.time_since_epoch());
    if (!left && at.count() > accepted_us) ++between;
  }
  EXPECT_TRUE(left);
  // Two fifths of a second at the other tenant's rate: it needs no place in any line.
  EXPECT_LE(between, 2);
  EXPECT_GT(
      rig.sql.Number(StrCat("SELECT sum(depth) FROM queue_depth WHERE tenant_id = '", masses, "'")),
      kMasses / 2);
}

}  // namespace
}  // namespace postrider
