#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/base/worker.h"
#include "tests/support/test_database.h"

namespace postrider {

/// A gate in the way to a Postgres: forwards every byte between its own unix socket and the
/// server's, until the test wants something lost. Safe from any thread.
/// Source: PostgreSQL manual, "Frontend/Backend Protocol".
class PgGate {
 public:
  /// What happens to a COMMIT that a client sends.
  enum class AtCommit {
    kForward,
    kDropReply,    ///< The server commits; the client's connection ends without an answer.
    kDropRequest,  ///< The server never hears of it.
  };

  /// `url`: of the database behind the gate, by a unix socket.
  explicit PgGate(const std::string& url);
  ~PgGate();
  PgGate(const PgGate&) = delete;
  PgGate& operator=(const PgGate&) = delete;

  /// The same database through the gate.
  std::string url() const;
  /// For the next COMMIT of whichever connection; afterwards all are forwarded again.
  void NextCommit(AtCommit what);
  /// How many COMMITs were not forwarded both ways.
  int dropped() const;

  /// Forwards what has come, waiting a moment for it.
  void Step();

 private:
  struct Pipe {
    int client = -1;
    int server = -1;
    bool ends_with_reply = false;  ///< A COMMIT whose answer is to be lost is on its way.
  };

  void Accept();
  bool FromClient(Pipe& pipe) ABSL_LOCKS_EXCLUDED(mu_);
  bool FromServer(Pipe& pipe);

  const TestDir dir_;
  const std::string url_;
  std::string server_socket_;
  std::string port_;
  int listener_ = -1;
  std::vector<Pipe> pipes_;  ///< Of the worker.

  mutable Mutex mu_;
  AtCommit next_ ABSL_GUARDED_BY(mu_) = AtCommit::kForward;
  int dropped_ ABSL_GUARDED_BY(mu_) = 0;

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
