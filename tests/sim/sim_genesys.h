#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/provider/provider.h"
#include "tests/support/fake_clock.h"

namespace postrider {

/// A Genesys Cloud of one thread: it answers, or not, by chance, keeps a ledger of every POST, and
/// has receipts to deliver for what it processed: late or early, in any order, several times. Of
/// some tenants statuses can be read, also some time after they came about. It has storms, in which
/// most POSTs fail, or most messages end at a carrier.
class SimGenesys {
 public:
  /// A POST, as the ledger has it.
  struct Post {
    TenantId tenant_id;
    MessageId message_id;
    int attempt = 1;
    MonotonicTime began_at{};
    bool processed = false;
    std::string recipient = {};
    std::string provider_message_id = {};  ///< Of what was processed.
    bool delivered = false;                ///< The same: how it ends, DELIVERED or FAILED.
    bool silent = false;                   ///< The same: no receipt says how it ends.
    MonotonicTime seen_from{};             ///< The same: when reads find it.
  };
  /// A request, POST or read, and when it began.
  using Requests = std::map<TenantId, std::vector<MonotonicTime>>;
  /// A time in which much fails.
  struct Storm {
    MonotonicTime from{};
    MonotonicTime until{};
    bool posts = false;     ///< 5xx and no answer.
    bool carriers = false;  ///< `carrier_rejected`.
  };
  /// A webhook on its way.
  struct Webhook {
    TenantId tenant_id;
    std::string body;
    MonotonicTime due_at{};
    int tries_left = 50;
  };

  /// Both must outlive it.
  SimGenesys(FakeClock& clock, Random& random) : clock_(clock), random_(random) {}

  /// Statuses of this tenant can be read.
  void AllowReads(TenantId tenant) { readable_.insert(tenant); }

  void Brew(const Storm& storm) { storms_.push_back(storm); }
  /// From now on so many (0 .. 1) of the messages it processes have no final receipt.
  void LoseReceipts(double share) { loses_receipts_ = share; }

  /// Whether who asks is no more: then nothing arrives here.
  std::function<bool()> is_gone;
  /// Called when a POST begins, with the index of the replica that posts it.
  std::function<void(int replica, TenantId tenant, const SendRequest& request)> on_post;
  /// Called when it has decided how a POST ends.
  std::function<void(const Post& post, const Outcome& outcome)> on_outcome;
  /// Called when it has decided, with a line that says what.
  std::function<void(std::string)> on_answer;
  /// Called while a POST is under way: other parts may act meanwhile.
  std::function<void()> meanwhile;
  /// From now on every POST is accepted, answered and delivered.
  void Heal() { healed_ = true; }

  /// What the providers of one replica are made by.
  std::unique_ptr<ProviderFactory> FactoryOf(int replica);

  const std::vector<Post>& ledger() const { return ledger_; }
  const Requests& requests() const { return requests_; }
  /// Until when it has told a tenant to wait.
  MonotonicTime PausedUntil(TenantId tenant) { return paused_until_[tenant]; }
  /// Undelivered webhooks; whoever delivers one takes it out.
  std::vector<Webhook>& webhooks() { return webhooks_; }
  const std::vector<Webhook>& webhooks() const { return webhooks_; }

 private:
  class Factory;
  class Profile;

  Outcome Receive(int replica, TenantId tenant, const SendRequest& request);
  Outcome Answer(const Post& post, std::string& provider_message_id);
  Outcome AnswerInStorm(const std::string& id, std::string& provider_message_id);
  const Storm* StormNow() const;
  ReadAnswer AnswerRead(TenantId tenant, const ReadRequest& request);
  /// Tells a tenant to wait; for how long.
  std::chrono::nanoseconds Throttle(TenantId tenant);
  void ScheduleReceipts(const Post& post);
  ProviderMessage Shown(const Post& post) const;

  FakeClock& clock_;
  Random& random_;
  bool healed_ = false;
  std::vector<Storm> storms_;
  double loses_receipts_ = 0;
  std::set<TenantId> readable_;
  std::vector<Post> ledger_;
  Requests requests_;
  std::map<TenantId, MonotonicTime> paused_until_;
  std::vector<Webhook> webhooks_;
};

}  // namespace postrider
