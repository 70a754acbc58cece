#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include <grpcpp/channel.h>

#include "client/admin.h"
#include "client/client.h"
#include "server/base/mutex.h"
#include "server/base/worker.h"
#include "tests/support/await.h"
#include "tests/support/gateway_process.h"
#include "tests/support/invariants.h"
#include "tests/support/sql.h"

namespace postrider {

inline constexpr const char* kSender = "+15559876543";
/// A recipient without a meaning to the sandbox: its messages are delivered.
inline constexpr const char* kRecipient = "+15551234567";

/// A send with a fresh request_id.
v1::SendMessageRequest RequestTo(const std::string& recipient, const std::string& text = "Hello");

/// Of the default tenant's dispatch: of all, or of a campaign.
v1::PauseDispatchRequest PauseFor(const std::string& reason, const std::string& campaign = "");
v1::ResumeDispatchRequest ResumeFor(const std::string& reason, const std::string& campaign = "");

/// A gateway on a database of its own, and a caller who has its token.
class Rig {
 public:
  struct Options {
    std::vector<std::string> flags = {};
    std::vector<std::string> environment = {};  ///< Of the first start.
    bool private_postgres = false;
  };

  Rig() : Rig(Options()) {}
  explicit Rig(const Options& options);

  /// A caller that tries each call for 30 s; of its own connection.
  std::unique_ptr<Client> NewClient() const;
  /// Calls without any repetition.
  std::unique_ptr<Client> ImpatientClient() const;
  const Client& client() const { return *client_; }

  /// Sends and gives the message's id; fails the test when it is refused.
  std::string Send(const v1::SendMessageRequest& request);
  /// The current state; UNSPECIFIED when it cannot be read.
  v1::MessageState StateOf(const std::string& message_id) const;
  /// Waits until the message is in `state`; fails the test when it never is.
  void AwaitState(const std::string& message_id, v1::MessageState state) const;

  /// A channel without the client library's ways.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::string Token() const;
  std::string OperatorToken() const;
  /// An operator, with the operator token.
  std::unique_ptr<client::Admin> NewAdmin() const;

  /// Null with a private Postgres.
  const std::unique_ptr<TestDatabase> database;
  GatewayProcess gateway;
  const Sql sql;

 private:
  std::unique_ptr<Client> client_;
};

/// The first block of `language` in `file` (from the top of the project) that contains `words`;
/// fails the test without one.
std::string ReadmeBlock(const std::string& file, const std::string& language,
                        const std::string& words);

/// Runs an example client for a recipient with a token.
using ExampleRun = std::function<CommandResult(const std::string&, const std::string&)>;
/// The example says why it was refused: the code, the reason, and the field of a bad request.
void ExpectExampleTellsWhyItWasRefused(const Rig& rig, const ExampleRun& run);

/// Follows all messages of the tenant on a worker of its own, as a dashboard does.
class Watcher {
 public:
  /// Follows from when this returns on, over lost connections.
  Watcher(const Client& client, v1::StreamStatusRequest request);
  /// Ends the watch.
  ~Watcher();

  std::vector<StreamedChange> Changes() const;
  std::size_t ChangeCount() const;
  std::string ResumeToken() const;
  /// How the watch ended; nothing while it goes on.
  std::optional<absl::Status> End() const;

 private:
  void Take(const v1::StreamStatusResponse& element);

  const Client& client_;
  const v1::StreamStatusRequest request_;

  mutable Mutex mu_;
  std::vector<StreamedChange> changes_ ABSL_GUARDED_BY(mu_);
  std::string token_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);

  Worker worker_;
};

}  // namespace postrider
