#include "server/webhook/inbox_processor.h"

#include <algorithm>
#include <utility>

#include "server/base/backoff.h"
#include "server/base/check.h"
#include "server/base/crash_point.h"
#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/base/status_macros.h"
#include "server/model/limits.h"
#include "server/policy/keywords.h"

namespace postrider {

namespace {

constexpr auto kFirstRetry = 50ms;
constexpr auto kLongestRetry = 2000ms;
constexpr int kSweepRows = 1000;

Counter& RowsBy(Metrics& metrics, const char* result) {
  return metrics.CounterOf("postrider_inbox_rows_total", "Webhooks by what became of them.",
                           {{"result", result}});
}

std::map<Keyword, Counter*> TextsBy(Metrics& metrics) {
  std::map<Keyword, Counter*> counters;
  for (const Keyword keyword :
       {Keyword::kNone, Keyword::kOptOut, Keyword::kOptIn, Keyword::kHelp}) {
    counters[keyword] =
        &metrics.CounterOf("postrider_inbound_messages_total", "Texts from recipients by keyword.",
                           {{"keyword", std::string(NameOf(keyword))}});
  }
  return counters;
}

const char* EventOf(const std::optional<InboxVerdict>& verdict) {
  if (!verdict) return "receipt parked";
  switch (*verdict) {
    case InboxVerdict::kApplied:
      return "receipt applied";
    case InboxVerdict::kDuplicate:
      return "receipt repeated";
    case InboxVerdict::kDeadLetter:
      return "webhook put aside as a dead letter";
  }
  return "";
}

bool IsText(const absl::StatusOr<WebhookContent>& content) {
  return content.ok() && std::holds_alternative<InboundText>(*content);
}

void LogEnds(std::span<const ParsedReceipt> rows, std::span<const ReceiptEnd> ends) {
  if (!LogEnabled(LogLevel::kDebug)) return;
  PR_CHECK(rows.size() == ends.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& [row, receipt] = rows[i];
    const MessageId message = ends[i].message_id;
    WriteLog(LogLevel::kDebug, EventOf(ends[i].verdict),
             {{"message_id", message.IsNil() ? "" : message.ToString()},
              {"tenant", row.tenant_id.ToString()},
              {"inbox_id", row.inbox_id.ToString()},
              {"status", receipt.ok() ? NameOf(receipt->status.state) : ""}});
  }
}

}  // namespace

InboxProcessor::InboxProcessor(Store& store, const Clock& clock, Random& random, Metrics& metrics,
                               Options options)
    : store_(store),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      applied_(RowsBy(metrics, "applied")),
      duplicates_(RowsBy(metrics, "duplicate")),
      parked_(RowsBy(metrics, "parked")),
      dead_letters_(RowsBy(metrics, "dead_letter")),
      swept_(metrics.CounterOf("postrider_inbox_swept_total",
                               "Webhooks that the sweep found unapplied.")),
      left_to_sweep_(metrics.CounterOf("postrider_inbox_left_to_sweep_total",
                                       "Webhooks that found the memory full.")),
      texts_(TextsBy(metrics)),
      answered_(metrics.CounterOf("postrider_opt_outs_answered_total",
                                  "Opt-outs by a keyword that a text answers.")),
      queue_(metrics.GaugeOf("postrider_inbox_waiting", "Webhooks in memory to be applied.")),
      oldest_seconds_(
          metrics.GaugeOf("postrider_inbox_oldest_seconds",
                          "How long the oldest webhook in memory waits to be applied.")) {
  PR_CHECK(options_.tenants != nullptr && options_.parse != nullptr);
}

void InboxProcessor::Start() {
  apply_worker_ = std::make_unique<Worker>("apply", [this](std::stop_token stop) { Step(stop); });
  sweep_worker_ = std::make_unique<Worker>("sweep", [this](std::stop_token stop) {
    if (SweepStep() == 0) WaitOrStop(stop, kSweepEvery);
  });
  parked_worker_ = std::make_unique<Worker>("parked", [this](std::stop_token stop) {
    // A full page: there are more that are due; 1,000 a second, so that what waits for a message
    // that never comes is no load.
    const bool full = ParkedStep() >= kApplyRows;
    WaitOrStop(stop, full ? kParkedEvery / 4 : kParkedEvery);
  });
}

bool InboxProcessor::Offer(InboxRow row) {
  MutexLock lock(mu_);
  if (Add(std::move(row))) return true;
  left_to_sweep_.Add();
  return false;
}

bool InboxProcessor::Add(InboxRow row) {
  if (known_.size() >= kApplyQueue || !known_.insert(row.inbox_id).second) return false;
  waiting_.push_back({std::move(row), absl::UnknownError("not read yet"), clock_.Now()});
  queue_.Set(static_cast<double>(known_.size()));
  offered_.NotifyOne();
  return true;
}

std::vector<InboxProcessor::Waiting> InboxProcessor::TakeBatch(std::stop_token stop) {
  std::vector<Waiting> batch;
  MutexLock lock(mu_);
  const MonotonicTime now = clock_.Now();
  if (now < retry_at_) {
    if (stop.stop_possible()) offered_.WaitFor(mu_, stop, retry_at_ - now, [] { return false; });
    return batch;
  }
  for (auto at = put_off_.begin(); at != put_off_.end() && batch.size() < kApplyRows;) {
    if (at->not_before > now) {
      ++at;
      continue;
    }
    batch.push_back(std::move(*at));
    at = put_off_.erase(at);
  }
  if (batch.empty() && waiting_.empty() && stop.stop_possible()) {
    const auto wait = put_off_.empty() ? 1000ms : 50ms;
    offered_.WaitFor(mu_, stop, wait,
                     [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !waiting_.empty(); });
  }
  if (batch.empty()) AwaitCompany(stop);
  while (!waiting_.empty() && batch.size() < kApplyRows) {
    batch.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (!batch.empty()) took_at_ = clock_.Now();
  return batch;
}

void InboxProcessor::AwaitCompany(std::stop_token stop) {
  while (!waiting_.empty() && waiting_.size() < kApplyRows && stop.stop_possible() &&
         !stop.stop_requested()) {
    const std::chrono::nanoseconds early = took_at_ + kApplySoon - clock_.Now();
    if (early <= 0ns) break;
    offered_.WaitFor(mu_, stop, early, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return waiting_.size() >= kApplyRows;
    });
  }
}

void InboxProcessor::ShowOldest(const std::vector<Waiting>& batch) {
  const MonotonicTime now = clock_.Now();
  MonotonicTime oldest = now;
  for (const Waiting& row : batch) oldest = std::min(oldest, row.since);
  MutexLock lock(mu_);
  if (!waiting_.empty()) oldest = std::min(oldest, waiting_.front().since);
  for (const Waiting& row : put_off_) oldest = std::min(oldest, row.since);
  oldest_seconds_.Set(SecondsOf(now - oldest));
}

std::size_t InboxProcessor::Step(std::stop_token stop) {
  std::vector<Waiting> batch = TakeBatch(stop);
  ShowOldest(batch);
  if (batch.empty()) return 0;
  for (Waiting& row : batch) row.content = options_.parse(row.row.profile, row.row.body);
  const auto texts = std::stable_partition(batch.begin(), batch.end(),
                                           [](const Waiting& row) { return !IsText(row.content); });
  absl::Status applied = Apply({batch.begin(), texts});
  if (applied.ok()) applied = Apply({texts, batch.end()});
  if (!applied.ok()) {
    PR_LOG(kWarning, "webhooks not applied yet", {"error", ToStd(applied.message())},
           {"rows", batch.size()}, {"tries", failures_ + 1});
    if (!Mutated(Mutant::kReceiptDropped)) Keep(batch);
    return 0;
  }
  failures_ = 0;
  MutexLock lock(mu_);
  std::size_t done = 0;
  for (Waiting& row : batch) {
    if (std::exchange(row.refused, false)) {
      put_off_.push_back(std::move(row));
    } else {
      known_.erase(row.row.inbox_id);
      ++done;
    }
  }
  queue_.Set(static_cast<double>(known_.size()));
  return done;
}

absl::Status InboxProcessor::ApplyReceipts(std::span<const Waiting> rows) {
  std::vector<ParsedReceipt> parsed;
  parsed.reserve(rows.size());
  for (const Waiting& waiting : rows) {
    const bool readable = waiting.content.ok();
    parsed.push_back(
        {waiting.row, readable ? absl::StatusOr<Receipt>(std::get<Receipt>(*waiting.content))
                               : waiting.content.status()});
  }
  CrashPoint("before_apply");
  PR_ASSIGN_OR_RETURN(const ApplyCounts counts, store_.ApplyReceipts(parsed));
  CrashPoint("after_apply");
  applied_.Add(counts.applied);
  duplicates_.Add(counts.duplicates);
  parked_.Add(counts.parked);
  dead_letters_.Add(counts.dead_letters);
  LogEnds(parsed, counts.ends);
  return absl::OkStatus();
}

absl::Status InboxProcessor::RecordTexts(std::span<const Waiting> rows) {
  std::vector<NewInbound> texts;
  texts.reserve(rows.size());
  for (const Waiting& waiting : rows) {
    const InboundText& text = std::get<InboundText>(*waiting.content);
    texts.push_back({.row = waiting.row,
                     .text = text,
                     .keyword = KeywordOf(text.text),
                     .new_conversation_id = {MakeUuidV4(random_)},
                     .new_message_id = {MakeUuidV7(clock_.Wall(), random_)}});
  }
  PR_ASSIGN_OR_RETURN(const std::vector<InboundEnd> ends, store_.RecordInbound(texts));
  PR_CHECK(ends.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const bool recorded = ends[i] == InboxVerdict::kApplied;
    const bool dead = ends[i] == InboxVerdict::kDeadLetter;
    if (ends[i].answered) answered_.Add();
    (recorded ? applied_ : dead ? dead_letters_ : duplicates_).Add();
    if (recorded) texts_.at(texts[i].keyword)->Add();
    WriteLog(LogLevel::kDebug,
             recorded ? "text came in"
             : dead   ? "webhook put aside as a dead letter"
                      : "text repeated",
             {{"tenant", texts[i].row.tenant_id.ToString()},
              {"inbox_id", texts[i].row.inbox_id.ToString()},
              {"keyword", NameOf(texts[i].keyword)}});
  }
  return absl::OkStatus();
}

absl::Status InboxProcessor::Apply(std::span<Waiting> rows) {
  if (rows.empty()) return absl::OkStatus();
  const absl::Status applied =
      IsText(rows.front().content) ? RecordTexts(rows) : ApplyReceipts(rows);
  if (applied.ok() || !absl::IsInvalidArgument(applied)) return applied;
  if (rows.size() == 1) return ApplyPoison(rows.front());
  const std::size_t half = rows.size() / 2;
  PR_RETURN_IF_ERROR(Apply(rows.first(half)));
  return Apply(rows.subspan(half));
}

absl::Status InboxProcessor::ApplyPoison(Waiting& row) {
  if (++row.tries < kMaxApplyTries) {
    row.refused = true;
    row.not_before = clock_.Now() + Backoff(row.tries, kFirstRetry, kLongestRetry, random_) + 1ms;
    return absl::OkStatus();
  }
  PR_RETURN_IF_ERROR(store_.BuryReceipt(row.row, "the store refused it"));
  dead_letters_.Add();
  PR_LOG(kError, "webhook put aside as a dead letter: the store refused it",
         {"tenant", row.row.tenant_id.ToString()}, {"inbox_id", row.row.inbox_id.ToString()},
         {"tries", row.tries});
  return absl::OkStatus();
}

void InboxProcessor::Keep(std::span<Waiting> rows) {
  const auto wait = Backoff(++failures_, kFirstRetry, kLongestRetry, random_);
  MutexLock lock(mu_);
  retry_at_ = clock_.Now() + wait;
  // In front, in their order: applying again what was applied changes nothing.
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    row->refused = false;
    waiting_.push_front(std::move(*row));
  }
}

std::size_t InboxProcessor::SweepStep() {
  const std::vector<TenantId> tenants = options_.tenants();
  const WallTime began = clock_.Wall();
  // From far back for tenants that are new here; for the others since the last sweep.
  std::map<TenantId, WallTime> upto;
  std::map<WallTime, std::vector<TenantId>> by_start;
  for (const TenantId tenant : tenants) {
    const auto known = swept_upto_.find(tenant);
    upto[tenant] = known == swept_upto_.end() ? WallTime{} : known->second;
    by_start[upto[tenant]].push_back(tenant);
  }
  swept_upto_ = std::move(upto);
  std::size_t taken = 0;
  for (const auto& [since, of] : by_start) {
    const auto rows = store_.SweepInbox(of, since, kSweepRows);
    if (!rows.ok()) {
      LogFailure(sweep_failures_, "inbox not swept", rows.status());
      return 0;
    }
    {
      MutexLock lock(mu_);
      for (const InboxRow& row : *rows) taken += Add(row) ? 1 : 0;
    }
    // A full page: the same again, once these are applied and out of the way.
    if (rows->size() >= kSweepRows) continue;
    for (const TenantId tenant : of) swept_upto_[tenant] = began - kSweepOverlap;
  }
  LogWorksAgain(sweep_failures_, "inbox swept again");
  swept_.Add(static_cast<double>(taken));
  return taken;
}

std::size_t InboxProcessor::ParkedStep() {
  const auto rows = store_.TakeParked(static_cast<int>(kApplyRows));
  if (!rows.ok()) {
    LogFailure(parked_failures_, "parked receipts not read", rows.status());
    return 0;
  }
  LogWorksAgain(parked_failures_, "parked receipts are read again");
  MutexLock lock(mu_);
  std::size_t taken = 0;
  for (const InboxRow& row : *rows) taken += Add(row) ? 1 : 0;
  return taken;
}

bool InboxProcessor::Drain(std::chrono::nanoseconds at_most) {
  const MonotonicTime deadline = clock_.Now() + at_most;
  sweep_worker_.reset();
  parked_worker_.reset();
  apply_worker_.reset();
  while (true) {
    {
      MutexLock lock(mu_);
      if (waiting_.empty() && put_off_.empty()) return true;
    }
    const std::size_t done = Step();
    if (clock_.Now() >= deadline) return false;
    if (done == 0) WaitOrStop({}, 20ms);
  }
}

}  // namespace postrider
