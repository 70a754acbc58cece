#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/http/message.h"
#include "tests/support/child_program.h"
#include "tests/support/test_database.h"

namespace postrider {

/// The built postriderd as operators run it: a process with a state directory of its own, on ports
/// that it keeps over restarts, with its own sandbox as Genesys unless told otherwise. Ends with
/// the object, and its private Postgres too; what it wrote to stderr is shown when the test has
/// failed. Not thread safe.
class GatewayProcess {
 public:
  struct Options {
    std::string database_url = {};        ///< Empty: a private Postgres in the state directory.
    std::vector<std::string> flags = {};  ///< Instead of, or besides, what every test wants.
    bool starts = true;                   ///< The constructor starts it.
    bool sandbox = true;                  ///< False: `flags` name the Genesys to send to.
    std::vector<std::string> environment = {};  ///< Of that first start.
  };

  explicit GatewayProcess(Options options);
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  /// Starts it, on the same state, and waits until it is ready or has ended; whether it is ready.
  /// `environment`: such as POSTRIDER_CRASH_AT=after_post.
  bool Start(const std::vector<std::string>& environment = {});
  /// Starts it, and does not wait.
  void Launch(const std::vector<std::string>& environment = {});
  /// Waits until it is ready or has ended; whether it is ready.
  bool AwaitReady();
  /// Asks it to stop and waits; fails the test unless it ends with status 0.
  void Stop();
  /// kill -9, and waits.
  void Kill();
  /// Waits until it has ended by itself; fails the test when it does not.
  ChildProgram::Exit AwaitExit();
  /// The running process; null before Start() and after the end was seen.
  ChildProgram* process() { return process_.get(); }

  std::string grpc_address() const;
  std::string admin_address() const;
  std::string ops_url() const;
  std::string sandbox_url() const;
  int webhook_port() const { return ports_[1]; }
  /// The default tenant's, from the file that operators read; empty before the first start.
  std::string webhook_url() const;
  std::string database_url() const;
  std::string token_file() const { return state_dir() + "/default.token"; }
  std::string operator_token_file() const { return state_dir() + "/operator.token"; }
  std::string ledger_file() const { return dir_.path() + "/ledger.jsonl"; }
  std::string state_dir() const { return dir_.path(); }
  /// What it wrote to stderr, of all starts.
  std::string Errors() const;

  /// The command line of `postriderd serve` with this one's state and ports.
  std::vector<std::string> Arguments() const;

 private:
  std::string Address(int which) const;
  std::string AddressLine(const std::string& name) const;
  void StopPrivatePostgres() const;

  const Options options_;
  const TestDir dir_;
  const std::vector<int> ports_;  ///< gRPC, webhooks, operations, sandbox, operators' gRPC.
  std::unique_ptr<ChildProgram> process_;
};

/// The status of `GET url`; 0 when there is no answer. `body` gets its body.
int HttpGet(const std::string& url, std::string* body = nullptr);
/// The status of a POST of `body` as JSON; 0 when there is no answer.
int HttpPost(const std::string& url, const std::string& body, const HttpHeaders& headers = {});

}  // namespace postrider
