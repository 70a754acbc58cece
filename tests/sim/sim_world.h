#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/base/random.h"
#include "tests/sim/sim_genesys.h"
#include "tests/sim/sim_replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/invariants.h"

namespace postrider {

/// The whole pipeline on one thread, by chance from one seed: callers, replicas that are killed,
/// frozen and drained, a store whose commits are lost or in doubt, a Genesys that loses replies,
/// receipts in any order, a stream that moves between replicas. While one part waits for the store
/// or for Genesys, others act. The same seed gives the same run.
class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed);
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  /// A minute with faults, then everything is healed and must come to rest. Returns what broke,
  /// and stops at the first.
  Breaches Run();
  /// What was done, the last lines of it.
  std::string Trace() const;

 private:
  using Work = SimReplica::Work;
  static constexpr int kReplicas = 3;
  static constexpr int kTenants = 2;
  // Few enough that queues stand: a worker gets its turn about once a second.
  static constexpr double kRatePerS = 1;
  static constexpr double kBurst = 4;

  /// A caller's send, repeated under its request_id until it is answered.
  struct Send {
    NewMessage message;
    bool under_way = false;
    std::optional<Acceptance> answer;
    bool cancelled = false;  ///< A cancel was answered with success.
  };
  /// A place for a gateway process.
  struct Place {
    std::unique_ptr<SimReplica> replica;
    MonotonicTime frozen_until{};
    int lives = 0;
  };
  /// A dashboard: one stream of one tenant, with the last token.
  struct Reader {
    TenantId tenant;
    EventPosition token;
    int place = -1;  ///< Where its stream is open; -1: nowhere.
    std::shared_ptr<Subscription> subscription;
    std::vector<std::pair<MessageId, int>> seen;
  };

  void Act(int depth);
  void ActOn(Place& place, int depth);
  void StartReplica(Place& place);
  void KillReplica(Place& place, bool drained);
  void SendSomething();
  void SendNew(TenantId tenant, SimReplica& replica);
  void ReplaceOwner();
  void Submit(std::size_t send, SimReplica& replica);
  void CancelSomething();
  void DeliverWebhook();
  void Read(Reader& reader);
  void ReadOn(Reader& reader);
  void CloseStream(Reader& reader);
  void CheckPost(int replica, TenantId tenant, const SendRequest& request);
  void Heal();
  bool AtRest() const;
  SimReplica* AnyReplica();
  std::uint64_t Below(std::uint64_t bound) { return random_.Next() % bound; }
  void Note(std::string line);
  void Breach(std::string line);

  // The checkers, each named as its invariant; after every step (the first group) or at the end.
  void CheckAlways();
  void CheckAtEnd();

  DoubtTimes doubt_;
  FakeClock clock_;
  SeededRandom random_;
  FakeStore store_{clock_};
  SimGenesys genesys_{clock_, random_};
  std::array<TenantId, kTenants> tenants_;
  std::map<TenantId, std::shared_ptr<const TenantSettings>> settings_;
  SenderId sender_;
  std::deque<Send> sends_;
  std::array<Place, kReplicas> places_;
  std::vector<Reader> readers_;
  std::map<MessageKey, std::size_t> histories_;  ///< Revisions that CheckAlways has looked at.
  std::size_t changes_seen_ = 0;
  bool healed_ = false;
  /// In the midst of a campaign of this tenant its owner is drained, as a deployment does.
  TenantId campaign_of_;
  MonotonicTime owner_leaves_at_ = MonotonicTime::max();
  int webhooks_made_ = 0;
  int webhooks_under_way_ = 0;  ///< Delivered and not answered yet.
  std::deque<std::string> trace_;
  Breaches breaches_;
};

/// The checkers of what records and the ledger show, one line a breach.
Breaches CheckHistory(const MessageRecord& record, std::size_t from);
Breaches CheckAttempts(const MessageRecord& record);
/// S4 and S5: how often a message went out.
Breaches CheckLedger(const std::vector<MessageRecord>& records,
                     const std::vector<SimGenesys::Post>& ledger);
/// S9: what went out is DELIVERED or FAILED as its receipts say, in whatever order and number they
/// came; or in doubt, when a later attempt of it is.
Breaches CheckEnds(const std::vector<MessageRecord>& records,
                   const std::vector<SimGenesys::Post>& ledger);
/// S13: in any window no more than burst + rate x (window + 0.2 s).
Breaches CheckRate(const SimGenesys::Requests& requests, double rate_per_s, double burst);

}  // namespace postrider
