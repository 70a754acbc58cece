#include "client/admin.h"

#include <utility>

#include "client/call.h"
#include "server/base/status_macros.h"

namespace postrider::client {

using Stub = v1::AdminService::StubInterface;

absl::StatusOr<std::unique_ptr<Admin>> Admin::Open(Options options, Seams seams) {
  PR_ASSIGN_OR_RETURN(std::shared_ptr<const Connection> connection,
                      Connection::Open(std::move(options), std::move(seams)));
  return std::make_unique<Admin>(std::move(connection));
}

Admin::Admin(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)),
      stub_(v1::AdminService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::GatewayState> Admin::State(const std::string& tenant) const {
  v1::GetGatewayStateRequest request;
  request.set_tenant(tenant);
  PR_ASSIGN_OR_RETURN(v1::GetGatewayStateResponse response,
                      CallWithRetries(*connection_, *stub_, &Stub::GetGatewayState, request, {}));
  return std::move(*response.mutable_state());
}

absl::StatusOr<v1::DispatchPause> Admin::Pause(const v1::PauseDispatchRequest& request) const {
  PR_ASSIGN_OR_RETURN(v1::PauseDispatchResponse response,
                      CallWithRetries(*connection_, *stub_, &Stub::PauseDispatch, request, {}));
  return std::move(*response.mutable_pause());
}

absl::StatusOr<bool> Admin::Resume(const v1::ResumeDispatchRequest& request) const {
  PR_ASSIGN_OR_RETURN(const v1::ResumeDispatchResponse response,
                      CallWithRetries(*connection_, *stub_, &Stub::ResumeDispatch, request, {}));
  return response.was_paused();
}

absl::StatusOr<v1::BreakerState> Admin::Override(const v1::OverrideBreakerRequest& request) const {
  PR_ASSIGN_OR_RETURN(v1::OverrideBreakerResponse response,
                      CallWithRetries(*connection_, *stub_, &Stub::OverrideBreaker, request, {}));
  return std::move(*response.mutable_breaker());
}

absl::StatusOr<v1::ReplayMessageResponse> Admin::Replay(
    const v1::ReplayMessageRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::ReplayMessage, request, {});
}

absl::StatusOr<v1::ListDeadLettersResponse> Admin::ListDeadLetters(
    const v1::ListDeadLettersRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::ListDeadLetters, request, {});
}

absl::StatusOr<v1::GroupDeadLettersResponse> Admin::GroupDeadLetters(
    const v1::GroupDeadLettersRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::GroupDeadLetters, request, {});
}

absl::StatusOr<v1::GetDeadLetterResponse> Admin::GetDeadLetter(
    const v1::GetDeadLetterRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::GetDeadLetter, request, {});
}

absl::StatusOr<v1::ReplayDeadLettersResponse> Admin::ReplayDeadLetters(
    const v1::ReplayDeadLettersRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::ReplayDeadLetters, request, {});
}

absl::StatusOr<v1::DiscardDeadLettersResponse> Admin::DiscardDeadLetters(
    const v1::DiscardDeadLettersRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::DiscardDeadLetters, request, {});
}

absl::StatusOr<v1::RecordInboundMessageResponse> Admin::RecordInbound(
    const v1::RecordInboundMessageRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::RecordInboundMessage, request, {});
}

absl::StatusOr<v1::RecordConsentResponse> Admin::RecordConsent(
    const v1::RecordConsentRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::RecordConsent, request, {});
}

absl::StatusOr<v1::ApplySetupResponse> Admin::ApplySetup(
    const v1::ApplySetupRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::ApplySetup, request, {});
}

absl::StatusOr<v1::GetSetupResponse> Admin::GetSetup(const v1::GetSetupRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::GetSetup, request, {});
}

absl::StatusOr<v1::GetConsentResponse> Admin::GetConsent(
    const v1::GetConsentRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::GetConsent, request, {});
}

absl::StatusOr<v1::ListSuppressionsResponse> Admin::ListSuppressions(
    const v1::ListSuppressionsRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::ListSuppressions, request, {});
}

absl::StatusOr<v1::MergeContactsResponse> Admin::MergeContacts(
    const v1::MergeContactsRequest& request) const {
  return CallWithRetries(*connection_, *stub_, &Stub::MergeContacts, request, {});
}

absl::Status Admin::Watch(const v1::WatchGatewayStateRequest& request,
                          const std::function<void(const v1::GatewayState&)>& on_state,
                          std::stop_token stop) const {
  const Seams& seams = connection_->seams();
  const RetryOptions& retry = connection_->options().retry;
  MonotonicTime give_up_at = seams.clock.Now() + retry.budget;
  for (int failures = 1; !stop.stop_requested(); ++failures) {
    const std::unique_ptr<grpc::ClientContext> context = connection_->NewContext(true);
    const std::stop_callback cancel(stop, [&context] { context->TryCancel(); });
    const auto stream = stub_->WatchGatewayState(context.get(), request);
    v1::WatchGatewayStateResponse response;
    while (stream->Read(&response)) {
      failures = 1;
      give_up_at = seams.clock.Now() + retry.budget;
      on_state(response.state());
    }
    const grpc::Status status = stream->Finish();
    if (stop.stop_requested()) break;
    // Nobody ends a watch in good order but the gateway that goes.
    const Error error = DecodeError(
        status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the gateway ended it") : status);
    const auto pause = RetryPauseOf(error, PushbackOf(context->GetServerTrailingMetadata()),
                                    failures, retry, seams.random);
    if (!pause.has_value() || seams.clock.Now() + *pause > give_up_at) return ToAbslStatus(status);
    if (seams.wait(stop, *pause)) break;
    connection_->AwaitConnected(stop);
  }
  return absl::OkStatus();
}

}  // namespace postrider::client
