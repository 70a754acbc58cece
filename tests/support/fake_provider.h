#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/provider/provider.h"

namespace postrider {

/// An outside world that answers as the test says and records every Send. Providers that it made
/// must not outlive it. Safe from any thread.
class FakeProviderFactory final : public ProviderFactory {
 public:
  /// The next Sends to `recipient` end so, one after the other; after the last one, and for every
  /// other recipient, a Send is accepted as "msg-1", "msg-2" ...
  void Script(const std::string& recipient, std::vector<Outcome> outcomes) {
    MutexLock lock(mu_);
    for (Outcome& outcome : outcomes) scripts_[recipient].push_back(std::move(outcome));
  }

  /// From now on statuses can be read. The next reads are answered so, one after the other; after
  /// the last one nothing is found.
  void ScriptReads(std::vector<ReadAnswer> answers) {
    MutexLock lock(mu_);
    can_read_ = true;
    for (ReadAnswer& answer : answers) read_answers_.push_back(std::move(answer));
  }
  /// Every read in the order in which it came.
  std::vector<ReadRequest> reads() const {
    MutexLock lock(mu_);
    return reads_;
  }

  /// From now on everything is accepted again.
  void EndScripts() {
    MutexLock lock(mu_);
    scripts_.clear();
  }

  /// From now on every Send is recorded and then blocks until OpenGate().
  void CloseGate() {
    MutexLock lock(mu_);
    open_ = false;
  }
  /// The same for Sends to `recipient` only.
  void Hang(const std::string& recipient) {
    MutexLock lock(mu_);
    hanging_.insert(recipient);
  }
  void OpenGate() {
    {
      MutexLock lock(mu_);
      hanging_.clear();
      open_ = true;
    }
    changed_.NotifyAll();
  }

  /// Waits until `count` Sends have begun, those at the gate included; false after 10 s.
  bool WaitForSends(std::size_t count) {
    MutexLock lock(mu_);
    return changed_.WaitFor(mu_, {}, std::chrono::seconds(10),
                            [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return sent_.size() >= count; });
  }

  /// From now on Make() fails with `status`; OK lets it work again.
  void FailMake(absl::Status status) {
    MutexLock lock(mu_);
    make_status_ = std::move(status);
  }

  /// Every request in the order in which it came.
  std::vector<SendRequest> sent() const {
    MutexLock lock(mu_);
    return sent_;
  }
  std::size_t sent_count() const {
    MutexLock lock(mu_);
    return sent_.size();
  }
  /// The account of each Make(), in order.
  std::vector<ProviderAccount> made() const {
    MutexLock lock(mu_);
    return made_;
  }
  /// The most Sends that were under way at one time.
  int most_at_once() const {
    MutexLock lock(mu_);
    return most_at_once_;
  }

  absl::StatusOr<std::unique_ptr<Provider>> Make(const ProviderAccount& account) override {
    MutexLock lock(mu_);
    made_.push_back(account);
    if (!make_status_.ok()) return make_status_;
    return std::make_unique<FakeProvider>(*this);
  }

 private:
  class FakeProvider final : public Provider {
   public:
    explicit FakeProvider(FakeProviderFactory& world) : world_(world) {}
    Outcome Send(const SendRequest& request) override { return world_.Answer(request); }
    bool CanRead() const override { return world_.CanRead(); }
    ReadAnswer Read(const ReadRequest& request) override { return world_.AnswerRead(request); }

   private:
    FakeProviderFactory& world_;
  };

  bool CanRead() const {
    MutexLock lock(mu_);
    return can_read_;
  }

  ReadAnswer AnswerRead(const ReadRequest& request) {
    MutexLock lock(mu_);
    reads_.push_back(request);
    ReadAnswer answer;
    answer.kind = ReadAnswer::Kind::kAbsent;
    answer.requests = 1;
    if (read_answers_.empty()) return answer;
    answer = std::move(read_answers_.front());
    read_answers_.pop_front();
    return answer;
  }

  Outcome Answer(const SendRequest& request) {
    Outcome outcome;
    {
      MutexLock lock(mu_);
      sent_.push_back(request);
      outcome = NextOutcome(request.recipient);
      most_at_once_ = std::max(most_at_once_, ++under_way_);
    }
    changed_.NotifyAll();
    MutexLock lock(mu_);
    changed_.Wait(mu_, {}, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return open_ && !hanging_.contains(request.recipient);
    });
    --under_way_;
    return outcome;
  }

  Outcome NextOutcome(const std::string& recipient) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::deque<Outcome>& script = scripts_[recipient];
    if (!script.empty()) {
      Outcome next = std::move(script.front());
      script.pop_front();
      return next;
    }
    Outcome accepted;
    accepted.kind = OutcomeKind::kAccepted;
    accepted.http_status = 202;
    accepted.provider_message_id = StrCat("msg-", sent_.size());
    accepted.detail = "accepted";
    return accepted;
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::map<std::string, std::deque<Outcome>> scripts_ ABSL_GUARDED_BY(mu_);
  std::vector<SendRequest> sent_ ABSL_GUARDED_BY(mu_);
  bool can_read_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<ReadAnswer> read_answers_ ABSL_GUARDED_BY(mu_);
  std::vector<ReadRequest> reads_ ABSL_GUARDED_BY(mu_);
  std::vector<ProviderAccount> made_ ABSL_GUARDED_BY(mu_);
  absl::Status make_status_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> hanging_ ABSL_GUARDED_BY(mu_);
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
  int most_at_once_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = true;
};

}  // namespace postrider
