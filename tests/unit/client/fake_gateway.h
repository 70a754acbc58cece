#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include <google/protobuf/util/time_util.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "client/client.h"
#include "postrider/v1/message_service.grpc.pb.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "tests/support/fake_clock.h"

namespace postrider::client {

/// A status with google.rpc details, as the gateway sends them.
template <typename... Details>
grpc::Status RichStatus(grpc::StatusCode code, const std::string& message,
                        const Details&... details) {
  google::rpc::Status rich;
  rich.set_code(code);
  rich.set_message(message);
  (rich.add_details()->PackFrom(details), ...);
  return {code, message, rich.SerializeAsString()};
}

inline google::rpc::ErrorInfo Reason(const std::string& reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("postrider.dev");
  return info;
}

/// A gateway in this process that does what a test's script says, one entry a message sent or a
/// stream; without a script a message is accepted. In SendMessages a status with details refuses
/// its message, and one without ends the call, as a lost connection does. It listens on a free
/// port.
class FakeGateway final : public v1::MessageService::Service {
 public:
  using SendScript = std::function<grpc::Status(grpc::ServerContext&, const v1::SendMessageRequest&,
                                                v1::SendMessageResponse&)>;
  /// Writes its elements, then ends with its status.
  struct StreamScript {
    std::vector<v1::StreamStatusResponse> elements;
    grpc::Status end;
    bool hangs = false;  ///< Instead of ending it waits until the client goes away.
  };

  FakeGateway() {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeGateway() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return StrCat("127.0.0.1:", port_); }

  void OnSend(SendScript script) {
    MutexLock lock(mu_);
    sends_.push_back(std::move(script));
  }
  void OnStream(StreamScript script) {
    MutexLock lock(mu_);
    streams_.push_back(std::move(script));
  }
  void OnGetStatus(grpc::Status status, v1::GetStatusResponse response) {
    MutexLock lock(mu_);
    status_ = std::move(status);
    status_response_ = std::move(response);
  }

  /// Pages of GetConversation and ListConversations, one a call.
  void OnGetConversation(v1::GetConversationResponse page) {
    MutexLock lock(mu_);
    timelines_.push_back(std::move(page));
  }
  void OnListConversations(v1::ListConversationsResponse page) {
    MutexLock lock(mu_);
    lists_.push_back(std::move(page));
  }
  std::vector<v1::GetConversationRequest> timelines_asked() const {
    MutexLock lock(mu_);
    return timelines_asked_;
  }
  std::vector<v1::ListConversationsRequest> lists_asked() const {
    MutexLock lock(mu_);
    return lists_asked_;
  }

  std::vector<v1::SendMessageRequest> sent() const {
    MutexLock lock(mu_);
    return sent_;
  }
  /// SendMessages calls so far.
  int send_calls() const {
    MutexLock lock(mu_);
    return send_calls_;
  }
  std::vector<v1::StreamStatusRequest> streamed() const {
    MutexLock lock(mu_);
    return streamed_;
  }
  /// Of the last call.
  std::string authorization() const {
    MutexLock lock(mu_);
    return authorization_;
  }

 private:
  grpc::Status SendMessage(grpc::ServerContext* context, const v1::SendMessageRequest* request,
                           v1::SendMessageResponse* response) override {
    SendScript script;
    {
      MutexLock lock(mu_);
      sent_.push_back(*request);
      NoteToken(*context);
      if (!sends_.empty()) {
        script = std::move(sends_.front());
        sends_.pop_front();
      }
      response->mutable_message()->set_message_id(StrCat("id-of-", request->request_id()));
      response->mutable_message()->set_request_id(request->request_id());
    }
    return script == nullptr ? grpc::Status::OK : script(*context, *request, *response);
  }

  grpc::Status SendMessages(grpc::ServerContext* context,
                            grpc::ServerReaderWriter<v1::SendMessagesResponse,
                                                     v1::SendMessagesRequest>* stream) override {
    {
      MutexLock lock(mu_);
      ++send_calls_;
    }
    v1::SendMessagesRequest message;
    while (stream->Read(&message)) {
      v1::SendMessagesResponse verdict;
      verdict.set_request_id(message.request().request_id());
      v1::SendMessageResponse accepted;
      const grpc::Status status = SendMessage(context, &message.request(), &accepted);
      if (!status.ok() && status.error_details().empty()) return status;
      if (status.ok()) {
        *verdict.mutable_accepted() = accepted;
      } else {
        verdict.mutable_refused()->mutable_status()->ParseFromString(status.error_details());
        verdict.mutable_refused()->set_retryable(
            status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
            status.error_code() == grpc::StatusCode::UNAVAILABLE);
      }
      if (!stream->Write(verdict)) break;
    }
    return grpc::Status::OK;
  }

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* /*request*/,
                         v1::GetStatusResponse* response) override {
    MutexLock lock(mu_);
    NoteToken(*context);
    *response = status_response_;
    return status_;
  }

  grpc::Status GetConversation(grpc::ServerContext* /*context*/,
                               const v1::GetConversationRequest* request,
                               v1::GetConversationResponse* response) override {
    MutexLock lock(mu_);
    timelines_asked_.push_back(*request);
    return NextOf(timelines_, *response);
  }

  grpc::Status ListConversations(grpc::ServerContext* /*context*/,
                                 const v1::ListConversationsRequest* request,
                                 v1::ListConversationsResponse* response) override {
    MutexLock lock(mu_);
    lists_asked_.push_back(*request);
    return NextOf(lists_, *response);
  }

  template <typename Page>
  static grpc::Status NextOf(std::deque<Page>& pages, Page& out) {
    if (pages.empty()) return {grpc::StatusCode::INTERNAL, "the script has ended"};
    out = std::move(pages.front());
    pages.pop_front();
    return grpc::Status::OK;
  }

  grpc::Status StreamStatus(grpc::ServerContext* context, const v1::StreamStatusRequest* request,
                            grpc::ServerWriter<v1::StreamStatusResponse>* writer) override {
    StreamScript script;
    {
      MutexLock lock(mu_);
      streamed_.push_back(*request);
      if (streams_.empty()) return {grpc::StatusCode::INTERNAL, "the script has ended"};
      script = std::move(streams_.front());
      streams_.pop_front();
    }
    for (const v1::StreamStatusResponse& element : script.elements) writer->Write(element);
    while (script.hangs && !context->IsCancelled()) WaitOrStop({}, std::chrono::milliseconds(5));
    return script.end;
  }

  void NoteToken(const grpc::ServerContext& context) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto found = context.client_metadata().find("authorization");
    authorization_ = found == context.client_metadata().end()
                         ? ""
                         : std::string(found->second.data(), found->second.size());
  }

  mutable Mutex mu_;
  std::deque<SendScript> sends_ ABSL_GUARDED_BY(mu_);
  std::deque<StreamScript> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::SendMessageRequest> sent_ ABSL_GUARDED_BY(mu_);
  int send_calls_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<v1::StreamStatusRequest> streamed_ ABSL_GUARDED_BY(mu_);
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
  v1::GetStatusResponse status_response_ ABSL_GUARDED_BY(mu_);
  std::string authorization_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::GetConversationResponse> timelines_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::ListConversationsResponse> lists_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::GetConversationRequest> timelines_asked_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::ListConversationsRequest> lists_asked_ ABSL_GUARDED_BY(mu_);

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

/// Time that passes only while the client waits; it keeps the pauses.
struct FakeTime {
  Seams seams() {
    return {.clock = clock,
            .random = random,
            .wait =
                [this](std::stop_token stop, std::chrono::nanoseconds pause) {
                  pauses.push_back(pause);
                  clock.Advance(pause);
                  return stop.stop_requested();
                },
            .connect_wait = std::chrono::milliseconds(0)};
  }

  FakeClock clock;
  SeededRandom random{1};
  std::vector<std::chrono::nanoseconds> pauses;
};

/// The change of `message_id` to `state` with `revision`, covered by `token`.
inline v1::StreamStatusResponse Change(const std::string& message_id, int revision,
                                       v1::MessageState state, const std::string& token) {
  v1::StreamStatusResponse element;
  element.mutable_change()->set_message_id(message_id);
  element.mutable_change()->set_revision(revision);
  element.mutable_change()->set_state(state);
  element.mutable_change()->set_final(state == v1::MESSAGE_STATE_DELIVERED ||
                                      state == v1::MESSAGE_STATE_FAILED);
  element.set_resume_token(token);
  return element;
}

inline v1::StreamStatusResponse SnapshotOf(const std::string& message_id, int revision,
                                           v1::MessageState state, const std::string& token) {
  v1::StreamStatusResponse element;
  *element.mutable_snapshot()->mutable_status() =
      Change(message_id, revision, state, token).change();
  element.set_resume_token(token);
  return element;
}

inline v1::StreamStatusResponse CheckpointAt(const std::string& token) {
  v1::StreamStatusResponse element;
  element.mutable_checkpoint();
  element.set_resume_token(token);
  return element;
}

}  // namespace postrider::client
