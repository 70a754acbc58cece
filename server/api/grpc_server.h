#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <grpcpp/server.h>

namespace postrider {

/// The gRPC listener: the contract's services, health and reflection, with every limit set. From
/// the first Start on, what gRPC and protobuf have to say are lines of our log.
class GrpcServer {
 public:
  struct Options {
    std::string address = "127.0.0.1:0";  ///< "host:port", "[::]:7070"; port 0: any free one.
    std::string certificate_file;         ///< PEM chain; with key_file: TLS. Empty: plain text.
    std::string key_file;
    std::string service;  ///< "package.Service" that health tells of, besides "".
    std::chrono::seconds max_connection_age{0};  ///< 0: no limit.
  };

  /// `services` must outlive it.
  GrpcServer(Options options, std::vector<grpc::Service*> services);
  ~GrpcServer();

  /// Begins to listen; returns the port. FAILED_PRECONDITION when the address cannot be had,
  /// INVALID_ARGUMENT when the certificate or key cannot be read.
  absl::StatusOr<int> Start();
  /// What the health service says of `service` and of the whole.
  void SetServing(bool serving);
  /// Takes no new calls, waits until those under way have ended and every client has closed its
  /// connection, or `deadline` has passed, then cancels and closes the rest. An idle client in C++
  /// takes up to five seconds for that: `deadline` should be short when no call is under way.
  /// Blocks. Repeating it does nothing.
  void Drain(std::chrono::milliseconds deadline);

 private:
  const Options options_;
  const std::vector<grpc::Service*> services_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace postrider
