#pragma once

#include <string>
#include <vector>

#include "server/base/strings.h"
#include "tests/support/store_contract.h"

namespace postrider {

/// What every Store must do about texts that carriers reject; instantiated as StoreContract is.
/// Answers are given one by one: the newest message is the one that was answered last.
class ContentContract : public StoreContract {
 protected:
  MessageKey Sent(const std::string& campaign, const std::string& text) {
    if (subject_.advance) subject_.advance(1ms);
    // However long a test takes, the replica lives.
    EXPECT_TRUE(store_.RenewReplica(replica_, "test").value_or(false));
    NewMessage message = Fresh();
    message.request.campaign_id = campaign;
    message.request.text = text;
    const MessageKey key = Accepted(message);
    Record(replica_, key, Intended(replica_, key), OutcomeKind::kAccepted);
    return key;
  }
  void Answer(const MessageKey& key, MessageState state, FailureReason failure) {
    ParsedReceipt receipt = ReceiptFor(key, state, StrCat("answer ", ++made_));
    receipt.receipt->status.attempt = StatusOf(key).attempt;
    receipt.receipt->status.failure = failure;
    receipt.receipt->status.provider_code = "code";
    EXPECT_EQ(Apply(receipt).applied, 1);
  }
  void Reject(int count, const std::string& campaign, const std::string& text = "Buy 1 now") {
    for (int i = 0; i < count; ++i) {
      Answer(Sent(campaign, text), MessageState::kFailed, FailureReason::kCarrierRejected);
    }
  }
  void Deliver(int count, const std::string& campaign, const std::string& text = "Buy 2 now") {
    for (int i = 0; i < count; ++i) {
      Answer(Sent(campaign, text), MessageState::kDelivered, FailureReason::kNone);
    }
  }

  /// What the next look comes to; fails the test without one.
  ContentLook Look() {
    const auto look = store_.JudgeContent(AllSlots());
    EXPECT_TRUE(look.ok()) << look.status();
    EXPECT_TRUE(look.ok() && look->has_value()) << "nothing to look at";
    return look.ok() && *look ? **look : ContentLook{};
  }
  bool HasMore() {
    const auto look = store_.JudgeContent(AllSlots());
    EXPECT_TRUE(look.ok()) << look.status();
    return look.ok() && look->has_value();
  }
  /// In force, of the whole tenant.
  std::vector<DispatchPause> Pauses() {
    const auto facts = store_.ReadControl({&tenant_.tenant_id, 1});
    EXPECT_TRUE(facts.ok()) << facts.status();
    return facts.ok() ? facts->pauses : std::vector<DispatchPause>{};
  }
  OperatorAction ByOperator() { return {MakeUuidV4(random_), "ops", "seen"}; }

  const ReplicaId replica_ = NewReplica();
};

}  // namespace postrider
