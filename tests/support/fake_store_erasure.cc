#include "server/base/status_macros.h"
#include "tests/support/fake_store.h"

// Texts and numbers that go before their messages. In memory all is looked at each time, so nothing
// has to be remembered.
namespace postrider {
namespace {

/// Before when it is to be erased; epoch: nothing is.
WallTime BeforeOf(WallTime now, std::optional<std::int64_t> days) {
  return days ? now - std::chrono::days(*days) : WallTime{};
}

/// The shorter of the two times that are set.
std::optional<std::int64_t> ShorterOf(const TenantRow& tenant) {
  if (!tenant.keep_texts_days) return tenant.keep_numbers_days;
  if (!tenant.keep_numbers_days) return tenant.keep_texts_days;
  return std::min(*tenant.keep_texts_days, *tenant.keep_numbers_days);
}

bool MayBeSent(const MessageStatus& status) {
  return !status.final || status.state <= MessageState::kUnknown;
}

}  // namespace

void FakeStore::EraseMessages(TenantId tenant, WallTime texts_before, WallTime numbers_before,
                              ErasedRows& erased) {
  const auto clear = [](std::string& text, int& count) {
    if (text.empty()) return;
    text.clear();
    ++count;
  };
  for (auto& [key, kept] : messages_) {
    if (key.tenant_id != tenant || MayBeSent(kept.message.status)) continue;
    const WallTime at = TimeOfUuidV7(key.message_id.uuid);
    MessageRequest& request = kept.message.request;
    if (at < texts_before) {
      clear(request.text, erased.texts);
      request.metadata.clear();
    }
    if (at < numbers_before) clear(request.recipient, erased.numbers);
  }
  for (fake_store::KeptInbound& kept : inbound_) {
    NewInbound& entry = kept.entry;
    if (entry.row.tenant_id != tenant) continue;
    const WallTime at = TimeOfUuidV7(entry.row.inbox_id.uuid);
    if (at < texts_before) {
      clear(entry.text.text, erased.texts);
      kept.text_erased = true;
    }
    if (at < numbers_before) clear(entry.text.recipient, erased.numbers);
  }
}

void FakeStore::EraseWebhooks(TenantId tenant, WallTime before, ErasedRows& erased) {
  const auto old = [&](const InboxRow& row) {
    return row.tenant_id == tenant && !row.body.empty() && TimeOfUuidV7(row.inbox_id.uuid) < before;
  };
  for (auto& [key, kept] : inbox_) {
    const bool ended = kept.state != InboxState::kOpen && kept.state != InboxState::kParked;
    if (!ended || !old(kept.row)) continue;
    kept.row.body.clear();
    ++erased.webhooks;
  }
  for (auto& [key, kept] : letters_) {
    if (key.first != tenant || TimeOfUuidV7(key.second.uuid) >= before) continue;
    if (kept.state == fake_store::KeptLetterState::kReplayed) continue;  // its bytes are needed
    const bool send = kept.letter.source == kSendSource;
    if (send ? kept.state != fake_store::KeptLetterState::kDead : kept.letter.body.empty())
      continue;
    kept.letter.body.clear();
    if (kept.state == fake_store::KeptLetterState::kDead) {
      kept.state = fake_store::KeptLetterState::kDiscarded;
    }
    ++erased.webhooks;
  }
}

absl::StatusOr<ErasedRows> FakeStore::EraseSome() {
  Enter("EraseSome");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("EraseSome"));
  ErasedRows erased;
  const WallTime now = clock_.Wall();
  for (const auto& [id, tenant] : tenants_) {
    EraseMessages(id, BeforeOf(now, tenant.keep_texts_days),
                  BeforeOf(now, tenant.keep_numbers_days), erased);
    EraseWebhooks(id, BeforeOf(now, ShorterOf(tenant)), erased);
  }
  PR_RETURN_IF_ERROR(End("EraseSome"));
  return erased;
}

}  // namespace postrider
