// A one-time code among masses of bulk messages: the next to leave.
#include <algorithm>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/await.h"
#include "tests/support/invariants.h"

namespace postrider {
namespace {

constexpr int kQueued = 100'000;

/// Many messages that are due, of the tenant, campaign and sender of `message_id`, which waits.
void QueueCopies(const Rig& rig, const std::string& message_id) {
  const std::string of = StrCat(" WHERE x.message_id = '", message_id, "'");
  const std::string id = "(left(x.message_id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid";
  rig.sql.Ask(StrCat("INSERT INTO message SELECT p.* FROM message x, generate_series(1, ", kQueued,
                     ") n, LATERAL jsonb_populate_record(x, jsonb_build_object('message_id', ", id,
                     ", 'request_id', 'copy-' || n)) p", of));
  rig.sql.Ask(StrCat("INSERT INTO dispatch_queue SELECT x.tenant_id, ",
                     "(left(x.message_id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, x.slot, ",
                     "x.priority, x.campaign_id, x.sender_id, x.recipient_key, now() ",
                     "FROM dispatch_queue x, generate_series(1, ", kQueued, ") n", of));
  rig.sql.Ask(
      StrCat("INSERT INTO queue_depth SELECT tenant_id, 999, ", kQueued, " FROM message x", of));
}

TEST(UrgentTest, ACodeIsTheNextToLeaveThoughTheSameSenderHasAHundredThousandBulkMessages) {
  Rig rig({.flags = {"--rate-per-second", "2", "--burst", "1", "--sender-rate", "2",
                     "--queue-limit", StrCat(kQueued * 2)}});
  v1::SendMessageRequest bulk = RequestTo("+15551230000", "news");
  bulk.set_priority(v1::PRIORITY_BULK);
  bulk.set_campaign_id("news");
  bulk.mutable_not_before()->set_seconds(std::time(nullptr) + 86'400);
  QueueCopies(rig, rig.Send(bulk));
  const auto posts = [&] { return ReadLedger(rig.gateway.ledger_file()); };
  ASSERT_TRUE(Await([&] { return posts().size() >= 4; })) << "the masses are on their way";

  const std::size_t before = posts().size();
  v1::SendMessageRequest code = RequestTo(kRecipient, "Your code is 123456");
  code.set_priority(v1::PRIORITY_URGENT);
  const std::string id = rig.Send(code);
  ASSERT_TRUE(Await([&] {
    const v1::MessageState state = rig.StateOf(id);
    return state != v1::MESSAGE_STATE_QUEUED && state != v1::MESSAGE_STATE_DISPATCHING;
  }));
  const std::vector<LedgerPost> ledger = posts();
  const auto at = std::find_if(ledger.begin(), ledger.end(),
                               [](const LedgerPost& post) { return post.recipient == kRecipient; });
  ASSERT_NE(at, ledger.end());
  // One may have been leaving while the call was under way.
  EXPECT_LE(at - ledger.begin(), static_cast<std::ptrdiff_t>(before) + 1);
}

}  // namespace
}  // namespace postrider
