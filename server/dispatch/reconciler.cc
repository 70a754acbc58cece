#include "server/dispatch/reconciler.h"

#include <algorithm>
#include <utility>

#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

int RequestsFor(const DoubtfulMessage& message) {
  if (message.provider_message_id.empty()) return kMostRequestsOfSearch;
  return message.provider_conversation_id.empty() ? 1 : 2;
}

}  // namespace

Reconciler::Reconciler(Store& store, ProviderFactory& providers, const SlotOwner& owner,
                       const Clock& clock, Random& random, Metrics& metrics, Options options)
    : store_(store),
      providers_(providers),
      owner_(owner),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      reads_(metrics.CounterOf("postrider_status_reads_total", "Statuses asked for at Genesys.")),
      answered_(metrics.CounterOf("postrider_doubts_answered_total",
                                  "Messages whose state changed by a status that was read.")),
      sent_again_(metrics.CounterOf("postrider_sent_again_total",
                                    "UNKNOWN messages sent once more: AT_LEAST_ONCE.")),
      undetermined_(metrics.CounterOf("postrider_unknown_closed_total",
                                      "UNKNOWN messages that became UNDETERMINED.")),
      closed_(metrics.CounterOf("postrider_windows_closed_total",
                                "SUBMITTED and SENT messages that are final without a receipt.")) {}

std::size_t Reconciler::Step() {
  const std::shared_ptr<const Ownership> own = owner_.Current();
  if (own->slots.empty() || clock_.Now() >= own->until) return 0;
  const std::vector<Lease> leases = own->Leases();
  const absl::StatusOr<std::vector<DoubtfulMessage>> due =
      store_.TakeDoubtful(own->replica, leases, static_cast<int>(kLookRows));
  if (!due.ok()) {
    LogFailure(looking_, "messages in doubt not read", due.status());
    return 0;
  }
  LogWorksAgain(looking_, "messages in doubt are read again");
  if (due->empty()) return 0;
  std::vector<Look> looks;
  looks.reserve(due->size());
  Refused refused;
  for (const DoubtfulMessage& message : *due) looks.push_back(LookFor(message, *own, refused));
  const absl::StatusOr<DoubtEnds> ends =
      store_.RecordLooks(own->replica, leases, looks, options_.times);
  if (!ends.ok()) {
    // They are due again when their claim has passed.
    LogFailure(looking_, "looks not recorded", ends.status());
    return 0;
  }
  Count(*ends);
  return looks.size();
}

std::size_t Reconciler::CollectStep() {
  const std::shared_ptr<const Ownership> own = owner_.Current();
  if (own->slots.empty() || clock_.Now() >= own->until) return 0;
  if (Mutated(Mutant::kQuietForgotten)) return 0;
  const absl::StatusOr<int> passed =
      store_.CollectQuiet(own->replica, own->Leases(), options_.times);
  if (!passed.ok()) {
    LogFailure(collecting_, "quiet messages not looked for", passed.status());
    return 0;
  }
  LogWorksAgain(collecting_, "quiet messages are looked for again");
  return static_cast<std::size_t>(*passed);
}

std::size_t Reconciler::CloseStep() {
  const std::shared_ptr<const Ownership> own = owner_.Current();
  if (own->slots.empty() || clock_.Now() >= own->until) return 0;
  const absl::StatusOr<DoubtEnds> ends =
      store_.CloseWindows(own->replica, own->Leases(), options_.times);
  if (!ends.ok()) {
    LogFailure(closing_, "receipt windows not closed", ends.status());
    return 0;
  }
  LogWorksAgain(closing_, "receipt windows are closed again");
  Count(*ends);
  return static_cast<std::size_t>(ends->undetermined + ends->closed);
}

Look Reconciler::LookFor(const DoubtfulMessage& message, const Ownership& own, Refused& refused) {
  const TenantId tenant = message.key.tenant_id;
  Look look{.key = message.key, .attempt = message.attempt, .candidates = {}};
  look.again_in = Later(message.reads);
  const bool waits =
      message.state == MessageState::kQueued || message.state == MessageState::kDispatching;
  if (waits || EndsMessage(message.state)) return look;
  Reader* const reader = ReaderOf(tenant);
  if (reader == nullptr) return look;
  if (!reader->provider->CanRead()) {
    look.kind = LookKind::kCannotRead;
    look.again_in = kLookLongest;
    return look;
  }
  const bool by_time = message.provider_message_id.empty();
  if (by_time && message.intended_at == WallTime{}) return look;  // It would not be among those.
  const OwnedSlot* const slot = own.Find(SlotOf(tenant));
  const bool mine = slot != nullptr && clock_.Now() < own.until;
  const int requests =
      mine ? options_.try_take_read(tenant, *slot, *reader->settings, RequestsFor(message)) : 0;
  if (requests == 0) {
    look.again_in = UntilToken(message, refused[tenant]++);
    return look;
  }
  look.asked = true;
  const ReadAnswer answer = ReadOf(message, *reader->provider, requests);
  for (const ProviderMessage& found : answer.found) {
    Receipt& candidate = look.candidates.emplace_back();
    candidate.status = found.status;
    candidate.message_id = message.key.message_id;
    candidate.provider_message_id = found.provider_message_id;
    candidate.provider_conversation_id = found.provider_conversation_id;
  }
  switch (answer.kind) {
    case ReadAnswer::Kind::kFound:
    case ReadAnswer::Kind::kSeveral:  // Perhaps all but one are others'.
      look.kind = LookKind::kFound;
      break;
    case ReadAnswer::Kind::kAbsent:
      look.kind = LookKind::kAbsent;
      break;
    case ReadAnswer::Kind::kNotRead:
      break;
    case ReadAnswer::Kind::kThrottled:
      look.again_in = std::clamp<std::chrono::nanoseconds>(answer.retry_after, kLeastRetryAfter,
                                                           kMaxRetryAfter);
      look.tenant_waits = look.again_in;
      options_.on_throttled(tenant, look.again_in);
      PR_LOG(kWarning, "reads of a tenant are throttled", {"tenant", tenant.ToString()},
             {"retry_after_s",
              std::chrono::duration_cast<std::chrono::seconds>(look.again_in).count()});
      break;
  }
  return look;
}

ReadAnswer Reconciler::ReadOf(const DoubtfulMessage& message, Provider& provider, int requests) {
  reads_.Add();
  ReadAnswer answer = provider.Read({.message_id = message.key.message_id,
                                     .provider_message_id = message.provider_message_id,
                                     .provider_conversation_id = message.provider_conversation_id,
                                     .recipient = message.recipient,
                                     .sender = message.sender,
                                     .text = message.text,
                                     .intended_at = message.intended_at,
                                     .most_requests = requests});
  options_.return_reads(message.key.tenant_id, requests - answer.requests);
  return answer;
}

Reconciler::Reader* Reconciler::ReaderOf(TenantId tenant) {
  const std::shared_ptr<const TenantSettings> settings = options_.settings(tenant);
  if (settings == nullptr) return nullptr;
  if (readers_.size() >= kProvidersPerPoster && !readers_.contains(tenant)) readers_.clear();
  Reader& reader = readers_[tenant];
  const bool same = reader.provider != nullptr &&
                    (settings == reader.settings || settings->account == reader.settings->account);
  reader.settings = settings;
  if (!same) {
    absl::StatusOr<std::unique_ptr<Provider>> made = providers_.Make(settings->account);
    reader.provider = made.ok() ? *std::move(made) : nullptr;
  }
  return reader.provider == nullptr ? nullptr : &reader;
}

std::chrono::nanoseconds Reconciler::Later(int reads) {
  constexpr int kFactors[] = {1, 3, 6, 30, 60, 180, 360};
  const auto place =
      std::min<std::size_t>(static_cast<std::size_t>(reads), std::size(kFactors) - 1);
  const std::chrono::nanoseconds mean =
      std::min<std::chrono::nanoseconds>(kLookFirst * kFactors[place], kLookLongest);
  // Messages that fell into doubt together are not all asked for together.
  return std::chrono::duration_cast<std::chrono::nanoseconds>(mean *
                                                              (0.8 + 0.4 * random_.Fraction()));
}

std::chrono::nanoseconds Reconciler::UntilToken(const DoubtfulMessage& message,
                                                int refused_before) {
  if (refused_before == 0) return kReadTokenKept / 2;
  // One after the other, and old ones less often: they must not keep this worker busy with asking.
  const std::chrono::nanoseconds place = kReadTokenKept * refused_before;
  const auto by_age = std::chrono::duration_cast<std::chrono::nanoseconds>(
      message.waited * (kWaitForReadShare * (0.8 + 0.4 * random_.Fraction())));
  return std::min<std::chrono::nanoseconds>(std::max(place, by_age), kLookLongest);
}

void Reconciler::Count(const DoubtEnds& ends) {
  answered_.Add(ends.answered);
  sent_again_.Add(ends.sent_again);
  undetermined_.Add(ends.undetermined);
  closed_.Add(ends.closed);
  if (ends.sent_again > 0) {
    PR_LOG(kWarning, "messages in doubt are sent once more, as was asked for",
           {"messages", ends.sent_again});
  }
  if (ends.undetermined > 0) {
    PR_LOG(kWarning, "messages stayed in doubt to the end of the receipt window",
           {"messages", ends.undetermined});
  }
}

}  // namespace postrider
