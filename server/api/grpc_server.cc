#include "server/api/grpc_server.h"

#include <fstream>
#include <grpc/support/log.h>
#include <sstream>
#include <utility>

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include "grpc/health/v1/health.pb.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

// Warnings, whatever they call them: they tell mostly of what a peer did.
void LogOfGrpc(gpr_log_func_args* said) {
  if (said->severity == GPR_LOG_SEVERITY_ERROR) {
    PR_LOG(kWarning, "gRPC says", {"text", said->message}, {"file", said->file},
           {"line", said->line});
  } else {  // asked for by GRPC_VERBOSITY
    PR_LOG(kDebug, "gRPC says", {"text", said->message}, {"file", said->file},
           {"line", said->line});
  }
}

// It names fields and never tells what is in them. What is fatal aborts when this returns.
void LogOfProtobuf(google::protobuf::LogLevel level, const char* file, int line,
                   const std::string& text) {
  if (level == google::protobuf::LOGLEVEL_FATAL) {
    PR_LOG(kError, "protobuf says", {"text", text}, {"file", file}, {"line", line});
    FlushLog();
  } else if (level != google::protobuf::LOGLEVEL_INFO) {
    PR_LOG(kWarning, "protobuf says", {"text", text}, {"file", file}, {"line", line});
  }
}

/// Once a process: protobuf's handler must not change while it is in use.
void TakeOverLogs() {
  static const bool done = [] {
    gpr_set_log_function(&LogOfGrpc);
    google::protobuf::SetLogHandler(&LogOfProtobuf);
    return true;
  }();
  static_cast<void>(done);
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().find("-----BEGIN ") == std::string::npos) {
    return absl::InvalidArgumentError(StrCat(path, ": cannot be read, or is not PEM"));
  }
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsOf(
    const GrpcServer::Options& options) {
  if (options.certificate_file.empty() && options.key_file.empty()) {
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  PR_ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(options.certificate_file));
  PR_ASSIGN_OR_RETURN(pair.private_key, ReadPem(options.key_file));
  grpc::SslServerCredentialsOptions ssl;
  ssl.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(ssl);
}

void SetLimits(grpc::ServerBuilder& builder, const GrpcServer::Options& options) {
  // Otherwise a second server on the same port silently takes half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxGrpcRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxGrpcMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  // Finds dead peers within a minute; allows clients to look as often as every ten seconds.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 40'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  if (options.max_connection_age.count() > 0) {
    const auto age = std::chrono::milliseconds(options.max_connection_age).count();
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, static_cast<int>(age));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 30'000);
  }
}

}  // namespace

GrpcServer::GrpcServer(Options options, std::vector<grpc::Service*> services)
    : options_(std::move(options)), services_(std::move(services)) {}

GrpcServer::~GrpcServer() { Drain(std::chrono::milliseconds(0)); }

absl::StatusOr<int> GrpcServer::Start() {
  TakeOverLogs();
  PR_ASSIGN_OR_RETURN(const auto credentials, CredentialsOf(options_));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC serves health without its C++ classes; reflection describes only what is linked.
  static_cast<void>(grpc::health::v1::HealthCheckRequest::descriptor());

  grpc::ServerBuilder builder;
  SetLimits(builder, options_);
  int port = 0;
  builder.AddListeningPort(options_.address, credentials, &port);
  for (grpc::Service* service : services_) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  if (!server_ || port == 0) {
    server_.reset();
    return absl::FailedPreconditionError(
        StrCat("cannot listen on ", options_.address,
               " (gRPC): the port is in use, the address is not this machine's, or the certificate "
               "and key do not belong together"));
  }
  SetServing(true);
  return port;
}

void GrpcServer::SetServing(bool serving) {
  if (server_ == nullptr || server_->GetHealthCheckService() == nullptr) return;
  grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
  if (!options_.service.empty()) health.SetServingStatus(options_.service, serving);
  health.SetServingStatus(serving);
}

void GrpcServer::Drain(std::chrono::milliseconds deadline) {
  if (!server_) return;
  SetServing(false);
  server_->Shutdown(SystemClock().Wall() + deadline);
  server_->Wait();
  server_.reset();
}

}  // namespace postrider
