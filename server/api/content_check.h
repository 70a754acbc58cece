#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/api/content_verdict.h"
#include "server/api/verdict_memory.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/model/compliance_limits.h"
#include "server/store/verdicts.h"

namespace postrider {

/// The verdicts of tenants' compliance checks: from memory, else from the store, else by asking.
///
/// However many messages of one text wait, one question is asked; all that an approval is good for
/// go on by it. Texts wait for workers, kCheckWorkersOfTenant of a tenant at a time, and tenants
/// without one first. What waits, and how long, is bounded for all and for a tenant; beyond there
/// is no verdict (kUnavailable). Counts postrider_content_verdicts_total{result}: `hit` from
/// memory; `joined` with another message's question; `stored` and `asked` for it; `unavailable`.
/// What is then let through counts in postrider_content_unchecked_total. Safe from any thread.
class ContentCheck {
 public:
  struct Options {
    int workers = kCheckWorkers;
    int workers_of_tenant = kCheckWorkersOfTenant;
    std::size_t texts = kTextsToCheck;
    std::size_t texts_of_tenant = kTextsToCheckOfTenant;
    std::size_t waiters_of_text = kWaitersOfText;
    std::size_t waiters = kCheckWaiters;
    std::size_t waiters_of_tenant = kCheckWaitersOfTenant;
    VerdictMemory::Options memory = {};
  };
  /// Asks the check; blocks.
  using Ask = std::function<ComplianceAnswer(const ComplianceQuestion&)>;
  using Done = std::function<void(const ContentVerdict&)>;

  /// All must outlive it.
  ContentCheck(const Clock& clock, Metrics& metrics, VerdictStore& store, Ask ask, Options options);

  /// Starts the workers. Tests drive Step() instead.
  void Start();
  /// Calls `done` once: at once when the verdict is in memory or a bound is reached, else from a
  /// worker. Never blocks.
  void Judge(ContentQuestion question, Done done);
  /// Settles some messages of one text; waits for one until `stop`. Returns how many texts it
  /// looked at.
  std::size_t Step(std::stop_token stop);
  /// From now on only memory answers; what no worker is at is kDraining. Waits for the workers,
  /// `at_most`; what they have not answered by then is kDraining, too. True when nothing was.
  bool Drain(std::chrono::nanoseconds at_most);

 private:
  struct Waiter {
    ContentQuestion question;
    Done done;
    MonotonicTime since{};
  };
  /// What of a tenant waits or is asked about.
  struct Load {
    std::size_t texts = 0;
    std::size_t waiters = 0;
  };
  struct Text {
    std::deque<Waiter> waiters;  ///< The first one's question is asked.
    bool running = false;
  };
  /// What a worker found out, and how.
  struct Finding {
    ContentVerdict verdict;
    const char* how = "";  ///< A value of the metric's label.
  };

  std::optional<ContentVerdict> Remembered(const ContentQuestion& question);
  void Remember(const ContentQuestion& question, const std::string& fingerprint,
                const ComplianceVerdict& verdict, std::chrono::nanoseconds life);
  Finding FindOut(const ContentQuestion& question);
  Finding AskAbout(const ContentQuestion& question);
  void NoteAnswer(TenantId tenant, const absl::Status& status);
  void KeepAccountWaits(TenantId tenant, std::chrono::nanoseconds wait);
  bool HasRoom(const std::string& key, TenantId tenant) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// So many waiters of a tenant, and texts, are no more.
  void Unload(TenantId tenant, std::size_t waiters, std::size_t texts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// In ready_, the first whose tenant has no worker at work, else whose has one free.
  std::deque<std::string>::iterator FirstReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Takes it; empty: there is none.
  std::string TakeReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Ends the look at `key`; those of its waiters that `verdict` is for.
  std::vector<Waiter> Settle(const std::string& key, const ContentQuestion& asked,
                             const ContentVerdict& verdict) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// All that wait for texts that no worker is at, or for any.
  std::vector<Waiter> TakeWaiters(bool of_running) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Count(const char* result, const ContentVerdict& verdict, const ComplianceCheck& check);

  const Clock& clock_;
  VerdictStore& store_;
  const Ask ask_;
  const Options options_;
  Histogram& seconds_;
  std::map<std::string, Counter*> results_;  ///< By the label; not changed once it is made.
  Counter& refused_;
  Counter& unchecked_;
  VerdictMemory memory_;

  Mutex mu_;
  CondVar work_;
  CondVar idle_;
  std::unordered_map<std::string, Text> texts_ ABSL_GUARDED_BY(mu_);  ///< By what approvals are of.
  std::deque<std::string> ready_ ABSL_GUARDED_BY(mu_);                ///< Keys of texts_.
  std::map<TenantId, int> running_ ABSL_GUARDED_BY(mu_);              ///< Workers by tenant.
  std::size_t waiters_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<TenantId, Load> load_ ABSL_GUARDED_BY(mu_);  ///< Of whom has any.
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  std::map<TenantId, RepeatedFailure> failures_ ABSL_GUARDED_BY(mu_);

  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace postrider
