#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "client/retry.h"
#include "postrider/v1/message_service.grpc.pb.h"
#include "server/base/secret.h"

namespace postrider::client {

/// Where the gateway is and who calls.
struct Options {
  std::string address = "127.0.0.1:7070";  ///< HOST:PORT, or any gRPC target such as dns:///...
  /// The API token. Empty: read once from `token_file`; when that is empty too, calls go without
  /// one and are refused with TOKEN_MISSING.
  Secret token{};
  std::string token_file{};
  /// PEM file of the certificate authorities to trust; the connection then uses TLS. Empty: no
  /// TLS, unless `tls` is set.
  std::string ca_file{};
  bool tls = false;                                ///< TLS with the system's authorities.
  std::chrono::milliseconds call_deadline{10000};  ///< Of each try; > 0.
  RetryOptions retry{};
  /// A watch takes a stream that brings nothing for this long, not even a checkpoint, for lost.
  /// Zero: three checkpoint intervals and 5 s.
  std::chrono::milliseconds watch_silence{0};
};

/// The channel, the token and the options that Client, Batch and WatchStatus share. It connects
/// with the first call and again by itself. Immutable: safe from any thread.
class Connection {
 public:
  /// NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT when the token or CA file cannot be read or
  /// is not such. Does not connect.
  static absl::StatusOr<std::shared_ptr<const Connection>> Open(Options options, Seams seams);

  /// A context that carries the token; with a deadline of `call_deadline` from now unless
  /// `endless`.
  std::unique_ptr<grpc::ClientContext> NewContext(bool endless = false) const;

  /// Lets the channel connect again before a call is repeated: returns when it has, when `stop`
  /// is requested, or after `longest` or Seams::connect_wait. Without a call under way nobody
  /// reads the channel's sockets but gRPC's own look every five seconds, and calls would fail
  /// that long.
  void AwaitConnected(std::stop_token stop,
                      std::chrono::milliseconds longest = std::chrono::seconds(1)) const;

  v1::MessageService::StubInterface& stub() const { return *stub_; }
  /// For the stubs of other services.
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const Options& options() const { return options_; }
  const Seams& seams() const { return seams_; }

 private:
  Connection(Options options, Seams seams, std::shared_ptr<grpc::Channel> channel);

  const Options options_;
  const Seams seams_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::MessageService::StubInterface> stub_;
};

/// The token in the file at `path`: its only line, without space around. NOT_FOUND,
/// PERMISSION_DENIED, or INVALID_ARGUMENT when it is empty or has several lines.
absl::StatusOr<Secret> ReadTokenFile(const std::string& path);

}  // namespace postrider::client
