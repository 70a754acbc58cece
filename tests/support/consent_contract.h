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

}  // namespace postrider
