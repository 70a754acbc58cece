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
#include "tests/sim/breaker_watch.h"
#include "tests/sim/sim_checks.h"
#include "tests/sim/sim_genesys.h"
#include "tests/sim/sim_replica.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/invariants.h"

namespace postrider {

/// The whole pipeline on one thread, by chance from one seed: callers, operators, replicas that are
/// killed, frozen and drained, a store whose commits are lost, late or in doubt, a Genesys that
/// loses replies, receipts in any order, streams that move between replicas. While one part waits
/// for the store or for Genesys, others act. The same seed gives the same run.
class SimWorld {
 public:
  /// With `quiet_hours` campaigns may not leave for some seconds.
  explicit SimWorld(std::uint64_t seed, bool quiet_hours = false);
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  /// A minute with faults, then everything is healed and must come to rest. Returns what broke,
  /// and stops at the first.
  Breaches Run();
  /// What was done, the last lines of it.
  std::string Trace() const;
  /// How much of what it is for has happened.
  struct Reach {
    int posts = 0;  ///< Before all was healed.
    int kills_at_work = 0;
    int trips = 0;  ///< Breakers that opened.
    int replays = 0;
    int failures_replayed = 0;  ///< By a filter.
    int opt_outs_met = 0;       ///< Messages that ended by one.
    int spooled_at_end = 0;     ///< Replicas that ended with webhooks on their disk.
    int quiet_holds = 0;        ///< Messages that quiet hours took back.
  };
  Reach Reached() const;

 private:
  using Work = SimReplica::Work;
  static constexpr int kReplicas = 3;
  static constexpr int kTenants = 2;
  // Few enough that queues stand: a worker gets its turn about once a second.
  static constexpr double kRatePerS = 1;
  static constexpr double kBurst = 4;
  static constexpr double kHealedRatePerS = 4;  // So that the queues end soon.

  /// A caller's send, repeated under its request_id until it is answered.
  struct Send {
    NewMessage message;
    bool under_way = false;
    std::optional<Acceptance> answer;
    bool cancelled = false;  ///< A cancel was answered with success.

    bool Accepted() const;
  };
  /// A place for a gateway process.
  struct Place {
    std::unique_ptr<SimReplica> replica;
    MonotonicTime frozen_until{};
    int lives = 0;
    std::size_t spooled = 0;  ///< What it left on its disk.
    /// Its dispatcher's judgement of the breakers, and how often the store had failed then.
    MonotonicTime judged_at{};
    int failures = 0;
  };
  /// A dashboard: one stream of one tenant, with the last token.
  struct Reader {
    TenantId tenant;
    EventPosition token;
    int place = -1;  ///< Where its stream is open; -1: nowhere.
    std::shared_ptr<Subscription> subscription;
    std::vector<std::pair<MessageId, int>> seen;
  };
  /// Who acts now, as a stack: while one waits, the next acts. Null: the world outside.
  class Turn {
   public:
    Turn(SimWorld& world, SimReplica* of) : world_(world) { world_.turns_.push_back(of); }
    ~Turn() { world_.turns_.pop_back(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    SimWorld& world_;
  };

  struct Handover;

  void LearnTheTimes();
  void SetRate(double rate_per_s);
  void Act(int depth);
  void ActOn(Place& place, int depth);
  void StepOf(Place& place, Work work);
  void StartReplica(Place& place);
  void KillReplica(Place& place);
  void DrainReplica(Place& place);
  void Bury();
  void ReplaceOwner();
  SimReplica* AnyReplica();
  bool Gone(SimReplica* replica) const { return gone_.contains(replica); }
  void Heal();

  // --- sim_callers.cc: those outside.
  void SendSomething();
  void SendNew(TenantId tenant, SimReplica& replica);
  void Submit(std::size_t send, SimReplica& replica);
  void CancelSomething();
  void DeliverWebhook();
  void OperateSomething(int depth);
  /// Whether it is known to be recorded.
  bool OptOutByOperator(TenantId tenant, const std::string& recipient);
  bool OptOutByKeyword(TenantId tenant, const std::string& recipient);
  void PauseSomething();
  void OverrideBreaker();
  void ReplaySomething();
  /// False: there are none.
  bool ReplayFailures();
  OperatorAction Action();

  // --- sim_readers.cc
  void Read(Reader& reader);
  void ReadOn(Reader& reader);
  void CloseStream(Reader& reader);

  /// When messages of this campaign may leave, by quiet hours.
  WallTime NextAllowed(const std::string& campaign_id, WallTime at) const;

  // --- sim_invariants.cc: at each POST, after each step, at the end.
  void CheckPost(int replica, TenantId tenant, const SendRequest& request);
  void CheckAlways();
  /// What is not at rest; empty: all is.
  std::string Unrest() const;
  void CheckAtEnd();

  std::uint64_t Below(std::uint64_t bound) { return random_.Next() % bound; }
  void Note(std::string line);
  void Breach(std::string line);
  void BreachAll(Breaches lines);

  const bool quiet_hours_;
  DoubtTimes doubt_;
  FakeClock clock_;
  const WallTime began_at_ = clock_.Wall();
  SeededRandom random_;
  FakeStore store_{clock_};
  SimGenesys genesys_{clock_, random_};
  BreakerWatch breaker_watch_{store_, clock_, SimReplica::kBreakers};
  int webhooks_made_ = 0;
  int webhooks_under_way_ = 0;  ///< Delivered and not answered yet.
  std::array<TenantId, kTenants> tenants_;
  std::map<TenantId, std::shared_ptr<const TenantSettings>> settings_;
  SenderId sender_;
  std::deque<Send> sends_;
  std::vector<Ban> bans_;
  std::vector<KeywordOptOut> keyword_opt_outs_;
  std::map<std::pair<TenantId, std::string>, bool> opted_out_;  ///< False: in doubt.
  std::set<MessageId> named_;  ///< An operator replayed them by their ids, or tried to.
  const std::string disk_;     ///< A directory with a spool for each place.
  std::array<Place, kReplicas> places_;
  std::vector<Reader> readers_;
  std::vector<SimReplica*> turns_;
  /// Killed; some of their steps have not ended yet, but reach nothing any more.
  std::vector<std::unique_ptr<SimReplica>> graveyard_;
  std::set<SimReplica*> gone_;
  std::map<MessageKey, std::size_t> histories_;  ///< Revisions that CheckAlways has looked at.
  std::size_t changes_seen_ = 0;
  std::optional<MonotonicTime> healed_at_;
  /// In the midst of a campaign of this tenant its owner is drained, as a deployment does.
  TenantId campaign_of_;
  MonotonicTime owner_leaves_at_ = MonotonicTime::max();
  Reach reach_;
  std::deque<std::string> trace_;
  Breaches breaches_;
};

}  // namespace postrider
