#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "client/connection.h"
#include "client/watch.h"

namespace postrider::client {

/// A caller of Postrider's MessageService: sends texts and follows them.
///
///   auto client = Client::Open({.address = "127.0.0.1:7070", .token_file = path});
///   v1::SendMessageRequest request;
///   request.set_recipient("+15551234567");
///   request.set_sender("+15550001111");
///   request.set_text("Your table is ready.");
///   auto sent = (*client)->Send(request);
///   if (!sent.ok()) std::cerr << DescribeError(DecodeError(sent.status())) << "\n";
///
/// Every call blocks until it is answered or fails for good; each try has the deadline
/// `Options::call_deadline`, and all tries with their pauses fit into `Options::retry.budget`
/// (retry.h says what is repeated, and when), besides the waits for room in a full queue. Errors
/// are the gateway's, undiluted: the status code, and with DecodeError() its reason, violations and
/// details. After UNAVAILABLE or DEADLINE_EXCEEDED a Send may still have been accepted: call it
/// again with the same request_id.
///
/// Safe from any thread. To send many messages use Batch (batch.h).
class Client {
 public:
  /// NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT: the token or CA file. Does not connect: an
  /// unreachable gateway is UNAVAILABLE from the first call. What is in `seams` must outlive the
  /// client.
  static absl::StatusOr<std::unique_ptr<Client>> Open(Options options, Seams seams = SystemSeams());
  /// On a connection that exists.
  explicit Client(std::shared_ptr<const Connection> connection)
      : connection_(std::move(connection)) {}

  /// Accepts one message durably. An empty `request_id` is filled in before the first try, so
  /// that a repeat never makes a second text; to repeat across restarts of your own program,
  /// choose and store it yourself. Waiting for the next try ends with `stop`.
  absl::StatusOr<v1::SendMessageResponse> Send(v1::SendMessageRequest request,
                                               std::stop_token stop = {}) const;

  /// The message with its history, by the id that Send gave or by your own request_id.
  absl::StatusOr<v1::GetStatusResponse> GetStatus(std::string_view message_id) const;
  absl::StatusOr<v1::GetStatusResponse> GetStatusByRequestId(std::string_view request_id) const;

  /// Why a message has not left yet, and when it is expected to.
  absl::StatusOr<v1::ExplainMessageResponse> Explain(std::string_view message_id) const;
  absl::StatusOr<v1::ExplainMessageResponse> ExplainByRequestId(std::string_view request_id) const;

  /// Stops a message that has not left; FAILED_PRECONDITION TOO_LATE_TO_CANCEL when it has.
  absl::StatusOr<v1::CancelMessageResponse> Cancel(std::string_view message_id) const;

  /// A conversation with a page of its timeline, the newest first. `request` with the page's
  /// `next_page_token` gives what is older.
  absl::StatusOr<v1::GetConversationResponse> GetConversation(
      const v1::GetConversationRequest& request) const;
  /// A page of the conversations that match; it may be short before the last one.
  absl::StatusOr<v1::ListConversationsResponse> ListConversations(
      const v1::ListConversationsRequest& request) const;

  /// Follows changes; resumes by itself. See WatchStatus (watch.h).
  WatchEnd Watch(v1::StreamStatusRequest request, const OnElement& on_element,
                 std::stop_token stop = {}) const;

  const std::shared_ptr<const Connection>& connection() const { return connection_; }

 private:
  absl::StatusOr<v1::GetStatusResponse> GetStatus(const v1::GetStatusRequest& request) const;

  const std::shared_ptr<const Connection> connection_;
};

/// A new request_id: "r-" and 32 hexadecimal digits from `random`.
std::string NewRequestId(Random& random);

}  // namespace postrider::client

namespace postrider {
using client::Client;
}  // namespace postrider
