#pragma once

#include <string>

#include "server/base/strings.h"
#include "tests/support/store_contract.h"

namespace postrider {

/// What every Store must do about opt-outs and consent; instantiated as StoreContract is.
class ConsentContract : public StoreContract {
 protected:
  ConsentEvent Said(ConsentChange change, std::chrono::minutes ago, SenderId sender = {}) {
    ConsentEvent event{.tenant_id = tenant_.tenant_id, .consent_id = MakeUuidV4(random_)};
    event.recipient = kRecipient;
    event.sender_id = sender;
    event.change = change;
    event.evidence = "by letter";
    event.said_at = subject_.now() - ago;
    return event;
  }
  ConsentCounts MustRecord(const ConsentEvent& event) {
    const auto counts = store_.RecordConsent({&event, 1}, std::nullopt);
    EXPECT_TRUE(counts.ok()) << counts.status();
    return counts.value_or(ConsentCounts{});
  }
  Acceptance::Kind KindOf(SenderId sender) {
    NewMessage message = Fresh(kRecipient);
    message.request.sender_id = sender;
    return AcceptOne(message).kind;
  }
  NewInbound Text(const std::string& text, std::chrono::minutes ago) {
    NewInbound entry = InboundFrom(kRecipient, StrCat("in-", ++texts_));
    entry.text.text = text;
    entry.keyword = KeywordOf(text);
    entry.text.provider_at = subject_.now() - ago;
    return entry;
  }
  MessageState StateOf(const MessageKey& key) {
    const auto record = store_.GetMessage(key);
    EXPECT_TRUE(record.ok()) << record.status();
    return record->message.status.state;
  }
  SenderId Sender(std::size_t n) const { return tenant_.senders[n].sender_id; }

  static constexpr char kRecipient[] = "+15550000001";
  int texts_ = 0;
};

/// The same about the one answer to an opt-out.
class AnswerContract : public ConsentContract {
 protected:
  AnswerContract() { subject_.confirm_opt_outs(tenant_.tenant_id, "You get no more texts."); }

  /// Records it; whether it was answered.
  bool Answered(const NewInbound& text) {
    EXPECT_TRUE(store_.AppendInbox({&text.row, 1}).ok());
    const auto ends = store_.RecordInbound({&text, 1});
    EXPECT_TRUE(ends.ok()) << ends.status();
    return ends.ok() && ends->front().answered;
  }
  MessageKey AnswerTo(const NewInbound& text) const {
    return {tenant_.tenant_id, text.new_message_id};
  }
};

}  // namespace postrider
