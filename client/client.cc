#include "client/client.h"

#include <array>
#include <cstdint>
#include <utility>

#include "client/call.h"
#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::client {
absl::StatusOr<std::unique_ptr<Client>> Client::Open(Options options, Seams seams) {
  PR_ASSIGN_OR_RETURN(std::shared_ptr<const Connection> connection,
                      Connection::Open(std::move(options), std::move(seams)));
  return std::make_unique<Client>(std::move(connection));
}

absl::StatusOr<v1::SendMessageResponse> Client::Send(v1::SendMessageRequest request,
                                                     std::stop_token stop) const {
  if (request.request_id().empty()) {
    request.set_request_id(NewRequestId(connection_->seams().random));
  }
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::SendMessage, request, std::move(stop));
}

absl::StatusOr<v1::GetStatusResponse> Client::GetStatus(const v1::GetStatusRequest& request) const {
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::GetStatus, request, {});
}

absl::StatusOr<v1::GetStatusResponse> Client::GetStatus(std::string_view message_id) const {
  v1::GetStatusRequest request;
  request.set_message_id(std::string(message_id));
  return GetStatus(request);
}

absl::StatusOr<v1::GetStatusResponse> Client::GetStatusByRequestId(
    std::string_view request_id) const {
  v1::GetStatusRequest request;
  request.set_request_id(std::string(request_id));
  return GetStatus(request);
}

absl::StatusOr<v1::ExplainMessageResponse> Client::Explain(std::string_view message_id) const {
  v1::ExplainMessageRequest request;
  request.set_message_id(std::string(message_id));
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::ExplainMessage, request, {});
}

absl::StatusOr<v1::ExplainMessageResponse> Client::ExplainByRequestId(
    std::string_view request_id) const {
  v1::ExplainMessageRequest request;
  request.set_request_id(std::string(request_id));
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::ExplainMessage, request, {});
}

absl::StatusOr<v1::CancelMessageResponse> Client::Cancel(std::string_view message_id) const {
  v1::CancelMessageRequest request;
  request.set_message_id(std::string(message_id));
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::CancelMessage, request, {});
}

absl::StatusOr<v1::GetConversationResponse> Client::GetConversation(
    const v1::GetConversationRequest& request) const {
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::GetConversation, request, {});
}

absl::StatusOr<v1::ListConversationsResponse> Client::ListConversations(
    const v1::ListConversationsRequest& request) const {
  return CallWithRetries(*connection_, connection_->stub(),
                         &v1::MessageService::StubInterface::ListConversations, request, {});
}

WatchEnd Client::Watch(v1::StreamStatusRequest request, const OnElement& on_element,
                       std::stop_token stop) const {
  return WatchStatus(*connection_, std::move(request), on_element, std::move(stop));
}

std::string NewRequestId(Random& random) {
  std::array<std::uint8_t, 16> bytes{};
  random.Fill(bytes);
  return StrCat("r-", HexOf({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

}  // namespace postrider::client
