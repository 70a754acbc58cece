#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"

#include "client/connection.h"
#include "postrider/v1/admin_service.grpc.pb.h"

namespace postrider::client {

/// An operator of Postrider's AdminService: sees what the gateway does, stops it and lets it go on.
/// `Options::address` is the gateway's --admin-listen, the token an operator's.
///
/// Calls block and are repeated as Client's are: each of them can be repeated safely. Errors are
/// the gateway's, undiluted. Safe from any thread.
class Admin {
 public:
  /// As Client::Open.
  static absl::StatusOr<std::unique_ptr<Admin>> Open(Options options, Seams seams = SystemSeams());
  /// On a connection that exists.
  explicit Admin(std::shared_ptr<const Connection> connection);

  /// Of one tenant, or of all when `tenant` is empty.
  absl::StatusOr<v1::GatewayState> State(const std::string& tenant) const;
  absl::StatusOr<v1::DispatchPause> Pause(const v1::PauseDispatchRequest& request) const;
  /// True when it had been paused.
  absl::StatusOr<bool> Resume(const v1::ResumeDispatchRequest& request) const;

  absl::StatusOr<v1::BreakerState> Override(const v1::OverrideBreakerRequest& request) const;
  absl::StatusOr<v1::ReplayMessageResponse> Replay(const v1::ReplayMessageRequest& request) const;

  absl::StatusOr<v1::ListDeadLettersResponse> ListDeadLetters(
      const v1::ListDeadLettersRequest& request) const;
  absl::StatusOr<v1::GroupDeadLettersResponse> GroupDeadLetters(
      const v1::GroupDeadLettersRequest& request) const;
  absl::StatusOr<v1::GetDeadLetterResponse> GetDeadLetter(
      const v1::GetDeadLetterRequest& request) const;
  /// One call's worth: again while `has_more`.
  absl::StatusOr<v1::ReplayDeadLettersResponse> ReplayDeadLetters(
      const v1::ReplayDeadLettersRequest& request) const;
  absl::StatusOr<v1::DiscardDeadLettersResponse> DiscardDeadLetters(
      const v1::DiscardDeadLettersRequest& request) const;

  absl::StatusOr<v1::RecordInboundMessageResponse> RecordInbound(
      const v1::RecordInboundMessageRequest& request) const;

  absl::StatusOr<v1::RecordConsentResponse> RecordConsent(
      const v1::RecordConsentRequest& request) const;
  absl::StatusOr<v1::GetConsentResponse> GetConsent(const v1::GetConsentRequest& request) const;
  absl::StatusOr<v1::ListSuppressionsResponse> ListSuppressions(
      const v1::ListSuppressionsRequest& request) const;
  absl::StatusOr<v1::MergeContactsResponse> MergeContacts(
      const v1::MergeContactsRequest& request) const;

  absl::StatusOr<v1::ApplySetupResponse> ApplySetup(const v1::ApplySetupRequest& request) const;
  absl::StatusOr<v1::GetSetupResponse> GetSetup(const v1::GetSetupRequest& request) const;

  /// Calls `on_state` with each state until `stop`, which ends it with OK, or an error that
  /// repeating does not help. Goes on by itself after the connection was lost, for as long as
  /// RetryOptions::budget without a state.
  absl::Status Watch(const v1::WatchGatewayStateRequest& request,
                     const std::function<void(const v1::GatewayState&)>& on_state,
                     std::stop_token stop) const;

 private:
  const std::shared_ptr<const Connection> connection_;
  const std::unique_ptr<v1::AdminService::StubInterface> stub_;
};

}  // namespace postrider::client
