#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "server/model/dispatch_limits.h"
#include "server/model/message.h"

namespace postrider {

/// Whose turn it is among one tenant's flows; remembers from step to step who had theirs, so that
/// also a rate of one message a step comes round to everybody.
///
/// A higher priority goes first, but while a lower one waits each kFloorEvery-th turn is the lower
/// one's. Within a priority: deficit round robin over campaigns, and over senders within a
/// campaign, in segments. What a turn costs is known only after it (the queue holds no texts), so
/// a flow may run into debt, and waits until the others have had as much.
///
/// Step 4 of the life of a message (server/README.md). For one caller at a time.
/// Source: Shreedhar and Varghese, Efficient Fair Queuing Using Deficit Round Robin, 1995.
class FairQueue {
 public:
  /// How many may still be chosen of each rank and those before it.
  using Rooms = std::array<int, kPriorities>;
  /// What must wait, and is passed over: `rank` is the one that it would go with.
  using Skip = std::function<bool(const Flow& flow, std::size_t rank)>;
  struct Turn {
    Flow flow;
    std::size_t rank = 0;  ///< Its priority's, or a higher one's whose turn it was given.
  };

  /// `flow`, of this queue's tenant, may have due messages. Beyond kMaxFlowsOfTenant it is not
  /// taken up: a later look finds it.
  void Add(const Flow& flow);
  /// It has none: no turn before the next Add. Its debt is remembered.
  void Remove(const Flow& flow);
  /// True when no flow may have any.
  bool Empty() const { return waiting_ == 0; }
  std::size_t size() const { return waiting_; }

  /// The next turn, charged with one segment, and taken from `rooms`; none when there is no room,
  /// or all that there is must wait.
  std::optional<Turn> Next(Rooms& rooms, const Skip& skip);
  /// The turn of `flow` cost `segments` more.
  void Charge(const Flow& flow, int segments);
  /// What a turn of `flow` has cost lately, in segments; 1 while nobody knows.
  double CostOf(const Flow& flow) const;

 private:
  struct Sender {
    double deficit = 0;
    double cost = 1;
    bool waits = false;
  };
  struct Campaign {
    double deficit = 0;
    std::map<SenderId, Sender> senders;
    SenderId last;  ///< Who had the last turn.
  };
  struct Class {
    std::map<std::string, Campaign> campaigns;
    std::string last;
    int passed = 0;  ///< Turns that higher ones had while it waited.
  };

  Flow FlowAt(std::size_t rank, const std::string& campaign, SenderId sender) const;
  bool CanServe(std::size_t rank, std::size_t as, const Skip& skip) const;
  Turn Serve(std::size_t rank, std::size_t as, const Skip& skip);
  void ForgetIdle();

  TenantId tenant_;
  std::array<Class, kPriorities> classes_;
  std::size_t waiting_ = 0;
  std::size_t kept_ = 0;  ///< Waiting or in debt.
};

}  // namespace postrider
