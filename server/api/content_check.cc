#include "server/api/content_check.h"

#include <algorithm>
#include <utility>

#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/policy/compliance_rules.h"

namespace postrider {

namespace {

using Kind = ContentVerdict::Kind;

std::string_view BytesOf(const TenantId& tenant) {
  return {reinterpret_cast<const char*>(tenant.uuid.bytes.data()), tenant.uuid.bytes.size()};
}

/// Where a verdict is in memory.
std::string MemoryKeyOf(const VerdictKey& key, const std::string& fingerprint) {
  return Sha256Bytes(
      StrCat(BytesOf(key.tenant_id), key.campaign_id, "\n", key.campaign_version, fingerprint));
}

ContentVerdict VerdictOf(const ComplianceVerdict& verdict) {
  return {.kind = verdict.approved ? Kind::kApproved : Kind::kRefused,
          .violations = verdict.violations};
}

ContentVerdict Busy() { return {.kind = Kind::kUnavailable, .retry_after = kCheckBusyRetry}; }

}  // namespace

ContentCheck::ContentCheck(const Clock& clock, Metrics& metrics, VerdictStore& store, Ask ask,
                           Options options)
    : clock_(clock),
      store_(store),
      ask_(std::move(ask)),
      options_(options),
      seconds_(metrics.HistogramOf("postrider_compliance_check_seconds",
                                   "How long compliance checks take to answer, or not to.")),
      refused_(metrics.CounterOf("postrider_content_refused_total",
                                 "Messages that a compliance check's verdict refused.")),
      unchecked_(metrics.CounterOf("postrider_content_unchecked_total",
                                   "Messages that were let through without a verdict.")),
      memory_(clock, options.memory) {
  for (const char* result : {"hit", "joined", "stored", "asked", "unavailable"}) {
    results_[result] = &metrics.CounterOf(
        "postrider_content_verdicts_total",
        "Messages whose text has to be approved, by where the verdict came from.",
        {{"result", result}});
  }
  Gauge& entries =
      metrics.GaugeOf("postrider_content_verdicts", "Verdicts on texts that are in memory.");
  metrics.OnCollect([this, &entries] { entries.Set(static_cast<double>(memory_.size())); });
}

void ContentCheck::Start() {
  for (int i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(StrCat("check-", i),
                                                [this](std::stop_token stop) { Step(stop); }));
  }
}

void ContentCheck::Count(const char* result, const ContentVerdict& verdict,
                         const ComplianceCheck& check) {
  results_.at(result)->Add();
  if (verdict.kind == Kind::kRefused) refused_.Add();
  const bool sent_without = check.when_unavailable == WhenUnavailable::kAllow;
  if (verdict.kind == Kind::kUnavailable && sent_without) unchecked_.Add();
}

std::optional<ContentVerdict> ContentCheck::Remembered(const ContentQuestion& question) {
  const VerdictKey& key = question.key;
  const ContentFingerprint& of = question.fingerprint;
  // A template's place has approvals only, so whatever is there counts.
  auto found = memory_.Find(key.tenant_id, MemoryKeyOf(key, of.approval));
  if (!found && of.text != of.approval) {
    found = memory_.Find(key.tenant_id, MemoryKeyOf(key, of.text));
  }
  if (!found) return std::nullopt;
  return VerdictOf(*found);
}

void ContentCheck::Remember(const ContentQuestion& question, const std::string& fingerprint,
                            const ComplianceVerdict& verdict, std::chrono::nanoseconds life) {
  memory_.Keep(question.key.tenant_id, MemoryKeyOf(question.key, fingerprint), verdict, life);
}

void ContentCheck::Judge(ContentQuestion question, Done done) {
  if (const auto known = Remembered(question)) {
    Count("hit", *known, question.check);
    return done(*known);
  }
  ContentVerdict refusal = Busy();
  const ComplianceCheck check = question.check;
  {
    MutexLock lock(mu_);
    const std::string key = MemoryKeyOf(question.key, question.fingerprint.approval);
    const TenantId tenant = question.key.tenant_id;
    if (!draining_ && HasRoom(key, tenant)) {
      const auto [text, is_new] = texts_.try_emplace(key);
      text->second.waiters.push_back({std::move(question), std::move(done), clock_.Now()});
      ++waiters_;
      ++load_[tenant].waiters;
      if (is_new) {
        ++load_[tenant].texts;
        ready_.push_back(key);
        work_.NotifyOne();
      }
      return;
    }
    if (draining_) refusal.kind = Kind::kDraining;
  }
  Count("unavailable", refusal, check);
  done(refusal);
}

bool ContentCheck::HasRoom(const std::string& key, TenantId tenant) {
  const auto load = load_.find(tenant);
  const Load of = load == load_.end() ? Load{} : load->second;
  if (waiters_ >= options_.waiters || of.waiters >= options_.waiters_of_tenant) return false;
  const auto found = texts_.find(key);
  if (found != texts_.end()) return found->second.waiters.size() < options_.waiters_of_text;
  return texts_.size() < options_.texts && of.texts < options_.texts_of_tenant;
}

void ContentCheck::Unload(TenantId tenant, std::size_t waiters, std::size_t texts) {
  Load& load = load_[tenant];
  load.waiters -= waiters;
  load.texts -= texts;
  waiters_ -= waiters;
  if (load.waiters == 0 && load.texts == 0) load_.erase(tenant);
}

std::deque<std::string>::iterator ContentCheck::FirstReady() {
  auto first = ready_.end();
  for (auto key = ready_.begin(); key != ready_.end(); ++key) {
    const TenantId tenant = texts_.at(*key).waiters.front().question.key.tenant_id;
    const auto running = running_.find(tenant);
    if (running == running_.end()) return key;
    if (first == ready_.end() && running->second < options_.workers_of_tenant) first = key;
  }
  return first;
}

std::string ContentCheck::TakeReady() {
  const auto first = FirstReady();
  if (first == ready_.end()) return {};
  std::string key = std::move(*first);
  ready_.erase(first);
  Text& text = texts_.at(key);
  text.running = true;
  ++running_[text.waiters.front().question.key.tenant_id];
  return key;
}

std::size_t ContentCheck::Step(std::stop_token stop) {
  std::string key;
  ContentQuestion question;
  MonotonicTime since{};
  {
    MutexLock lock(mu_);
    if (stop.stop_possible()) {
      work_.Wait(mu_, stop,
                 [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return FirstReady() != ready_.end(); });
    }
    key = TakeReady();
    if (key.empty()) return 0;
    question = texts_.at(key).waiters.front().question;
    since = texts_.at(key).waiters.front().since;
  }
  // What was judged before it came to wait may not be so any more.
  const bool too_late = clock_.Now() - since > kLongestCheckWait;
  const Finding found = too_late ? Finding{Busy(), "unavailable"} : FindOut(question);
  std::vector<Waiter> settled;
  {
    MutexLock lock(mu_);
    settled = Settle(key, question, found.verdict);
  }
  const bool known = found.verdict.kind == Kind::kApproved || found.verdict.kind == Kind::kRefused;
  for (std::size_t i = 0; i < settled.size(); ++i) {
    Count(i == 0 || !known ? found.how : "joined", found.verdict, question.check);
    settled[i].done(found.verdict);
  }
  MutexLock lock(mu_);
  if (--running_[question.key.tenant_id] == 0) running_.erase(question.key.tenant_id);
  if (running_.empty()) idle_.NotifyAll();
  work_.NotifyAll();  // the tenant has a worker free
  return 1;
}

std::vector<ContentCheck::Waiter> ContentCheck::Settle(const std::string& key,
                                                       const ContentQuestion& asked,
                                                       const ContentVerdict& verdict) {
  std::vector<Waiter> settled;
  const auto found = texts_.find(key);
  if (found == texts_.end()) return settled;  // a drain that could not wait has answered them
  std::deque<Waiter> others;
  for (Waiter& waiter : found->second.waiters) {
    const bool same = waiter.question.fingerprint.text == asked.fingerprint.text;
    const bool his = verdict.kind != Kind::kRefused || same;
    if (his) {
      settled.push_back(std::move(waiter));
    } else {
      others.push_back(std::move(waiter));
    }
  }
  Unload(asked.key.tenant_id, settled.size(), others.empty() ? 1 : 0);
  if (others.empty()) {
    texts_.erase(found);
  } else {
    found->second = {.waiters = std::move(others), .running = false};
    ready_.push_back(key);
  }
  return settled;
}

ContentCheck::Finding ContentCheck::FindOut(const ContentQuestion& question) {
  // Settled after this one was seen not to be in memory.
  if (const auto known = Remembered(question)) return {*known, "hit"};
  const ContentFingerprint& of = question.fingerprint;
  std::vector<std::string> wanted = {of.approval};
  if (of.text != of.approval) wanted.push_back(of.text);
  const auto stored = store_.FindVerdicts(question.key, wanted);
  if (!stored.ok()) return {{.kind = Kind::kStoreAway}, "unavailable"};
  for (const StoredVerdict& one : *stored) {
    Remember(question, one.fingerprint, one.verdict, one.left);
  }
  if (const auto known = Remembered(question)) return {*known, "stored"};
  const auto turn = store_.TakeAsk(question.key.tenant_id, question.check.checks_per_minute,
                                   CountsForAccount(question.check, question.account_base_url));
  if (!turn.ok()) return {{.kind = Kind::kStoreAway}, "unavailable"};
  if (!turn->granted) {
    return {{.kind = Kind::kUnavailable, .retry_after = turn->next_in}, "unavailable"};
  }
  return AskAbout(question);
}

ContentCheck::Finding ContentCheck::AskAbout(const ContentQuestion& question) {
  const TenantId tenant = question.key.tenant_id;
  const MonotonicTime began = clock_.Now();
  const auto& [verdict, account_waits] = ask_(question.asked);
  seconds_.Observe(SecondsOf(clock_.Now() - began));
  NoteAnswer(tenant, verdict.status());
  if (account_waits > std::chrono::nanoseconds(0)) KeepAccountWaits(tenant, account_waits);
  if (!verdict.ok()) {
    return {{.kind = Kind::kUnavailable,
             .retry_after = std::max<std::chrono::nanoseconds>(kCheckRetry, account_waits)},
            "unavailable"};
  }
  const std::string& fingerprint =
      verdict->approved ? question.fingerprint.approval : question.fingerprint.text;
  const std::chrono::seconds life = question.check.verdicts_expire_after;
  Remember(question, fingerprint, *verdict, life);
  const absl::Status kept = store_.KeepVerdict(question.key, fingerprint, *verdict, life);
  if (!kept.ok()) {
    // It is good here all the same; another replica, or this one's successor, asks again.
    PR_LOG(kWarning, "a compliance check's verdict is not stored", {"tenant", tenant.ToString()},
           {"error", ToStd(kept.message())});
  }
  return {VerdictOf(*verdict), "asked"};
}

void ContentCheck::KeepAccountWaits(TenantId tenant, std::chrono::nanoseconds wait) {
  PR_LOG(kWarning, "a compliance check at the account's own host told the tenant to wait",
         {"tenant", tenant.ToString()},
         {"retry_after_s", std::chrono::ceil<std::chrono::seconds>(wait).count()});
  const absl::Status kept = store_.KeepAccountWaits(tenant, wait);
  if (kept.ok()) return;
  // The dispatcher's next POST is told the same by the provider itself.
  PR_LOG(kWarning, "that a tenant is to wait is not stored", {"tenant", tenant.ToString()},
         {"error", ToStd(kept.message())});
}

void ContentCheck::NoteAnswer(TenantId tenant, const absl::Status& status) {
  std::uint64_t failed = 0;
  bool worth = false;
  {
    MutexLock lock(mu_);
    if (status.ok()) {
      failed = failures_[tenant].Worked();
    } else {
      worth = failures_[tenant].Failed();
    }
  }
  if (worth) {
    PR_LOG(kWarning, "a compliance check gives no verdict", {"tenant", tenant.ToString()},
           {"error", ToStd(status.message())});
  }
  if (failed > 0) {
    PR_LOG(kInfo, "compliance checks answer again", {"tenant", tenant.ToString()},
           {"failures", failed});
  }
}

std::vector<ContentCheck::Waiter> ContentCheck::TakeWaiters(bool of_running) {
  std::vector<Waiter> taken;
  for (auto text = texts_.begin(); text != texts_.end();) {
    if (text->second.running && !of_running) {
      ++text;
      continue;
    }
    const std::size_t waiters = text->second.waiters.size();
    Unload(text->second.waiters.front().question.key.tenant_id, waiters, 1);
    for (Waiter& waiter : text->second.waiters) taken.push_back(std::move(waiter));
    text = texts_.erase(text);
  }
  ready_.clear();
  return taken;
}

bool ContentCheck::Drain(std::chrono::nanoseconds at_most) {
  bool whole = true;
  const auto answer = [&](std::vector<Waiter> left) {
    const ContentVerdict verdict{.kind = Kind::kDraining};
    for (Waiter& waiter : left) {
      Count("unavailable", verdict, waiter.question.check);
      waiter.done(verdict);
    }
    whole = whole && left.empty();
  };
  std::vector<Waiter> left;
  {
    MutexLock lock(mu_);
    draining_ = true;
    left = TakeWaiters(/*of_running=*/false);
  }
  answer(std::move(left));
  {
    MutexLock lock(mu_);
    idle_.WaitFor(mu_, std::stop_token(), at_most,
                  [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return running_.empty(); });
    left = TakeWaiters(/*of_running=*/true);
  }
  for (auto& worker : workers_) worker->RequestStop();
  answer(std::move(left));
  return whole;
}

}  // namespace postrider
