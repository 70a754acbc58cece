#include "client/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::client {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(kMaxFileBytes + 1, '\0');
  if (file) file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file && !file.eof()) {
    const int cause = errno;
    const std::string message = StrCat("cannot read ", path, ": ", std::strerror(cause));
    if (cause == ENOENT || cause == ENOTDIR) return absl::NotFoundError(message);
    if (cause == EACCES) return absl::PermissionDeniedError(message);
    return absl::InvalidArgumentError(message);
  }
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  if (bytes.size() > kMaxFileBytes) return absl::InvalidArgumentError(StrCat(path, ": too long"));
  return bytes;
}

}  // namespace

absl::StatusOr<Secret> ReadTokenFile(const std::string& path) {
  PR_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  constexpr char kSpace[] = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return absl::InvalidArgumentError(StrCat(path, " is empty"));
  text = text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
  for (const char c : text) {
    if (c <= ' ' || c > '~') {
      return absl::InvalidArgumentError(StrCat(path, " must hold one token on one line"));
    }
  }
  return Secret(std::move(text));
}

absl::StatusOr<std::shared_ptr<const Connection>> Connection::Open(Options options, Seams seams) {
  if (options.token.empty() && !options.token_file.empty()) {
    PR_ASSIGN_OR_RETURN(options.token, ReadTokenFile(options.token_file));
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options.tls || !options.ca_file.empty()) {
    grpc::SslCredentialsOptions tls;
    if (!options.ca_file.empty()) {
      PR_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadFile(options.ca_file));
    }
    credentials = grpc::SslCredentials(tls);
  }
  grpc::ChannelArguments arguments;
  // gRPC's own reconnect backoff grows to two minutes, during which every call fails at once:
  // longer than a gateway takes to restart, and longer than our budget.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Two Connections never share a socket, so that one's end does not depend on another's use.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetUserAgentPrefix("postrider-cpp/" POSTRIDER_VERSION);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(options.address, credentials, arguments);
  return std::shared_ptr<const Connection>(
      new Connection(std::move(options), std::move(seams), std::move(channel)));
}

Connection::Connection(Options options, Seams seams, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      seams_(std::move(seams)),
      channel_(std::move(channel)),
      stub_(v1::MessageService::NewStub(channel_)) {}

void Connection::AwaitConnected(std::stop_token stop, std::chrono::milliseconds longest) const {
  constexpr auto kLook = std::chrono::milliseconds(20);  // a stop is noticed this late at most
  const auto until = std::chrono::system_clock::now() + std::min(longest, seams_.connect_wait);
  while (!stop.stop_requested() && std::chrono::system_clock::now() < until) {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_SHUTDOWN) return;
    channel_->WaitForStateChange(state, std::chrono::system_clock::now() + kLook);
  }
}

std::unique_ptr<grpc::ClientContext> Connection::NewContext(bool endless) const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!options_.token.empty()) {
    context->AddMetadata("authorization", StrCat("Bearer ", options_.token.Reveal()));
  }
  if (!endless) {
    context->set_deadline(std::chrono::system_clock::now() + options_.call_deadline);
  }
  return context;
}

}  // namespace postrider::client
