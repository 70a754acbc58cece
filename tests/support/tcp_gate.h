#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/base/worker.h"

namespace postrider {

/// A gate in the way to a server on this host: forwards every byte, until the test wants answers
/// lost. Safe from any thread.
class TcpGate {
 public:
  /// `url`: of the server behind it, "http://127.0.0.1:PORT".
  explicit TcpGate(const std::string& url);
  ~TcpGate();
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  /// The same server through the gate.
  std::string url() const;
  /// The next `count` requests that contain `marker` get through, and their connections end where
  /// the answer would begin.
  void DropReplies(const std::string& marker, int count);
  /// How many answers were dropped.
  int dropped() const;

  /// Forwards what has come, waiting a moment for it.
  void Step();

 private:
  struct Pipe {
    int client = -1;
    int server = -1;
    bool ends_with_reply = false;  ///< A request whose answer is to be lost is on its way.
  };

  void Accept();
  bool FromClient(Pipe& pipe) ABSL_LOCKS_EXCLUDED(mu_);
  bool FromServer(Pipe& pipe) ABSL_LOCKS_EXCLUDED(mu_);

  const int target_port_;
  int listener_ = -1;
  std::vector<Pipe> pipes_;  ///< Of the worker.

  mutable Mutex mu_;
  std::string marker_ ABSL_GUARDED_BY(mu_);
  int to_drop_ ABSL_GUARDED_BY(mu_) = 0;
  int dropped_ ABSL_GUARDED_BY(mu_) = 0;

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
