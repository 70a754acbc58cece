#include "server/api/state_watches.h"

#include <algorithm>
#include <map>
#include <utility>

#include <google/protobuf/util/time_util.h>

#include "server/api/convert.h"
#include "server/api/field_rules.h"
#include "server/api/wire.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

ApiError TooManyWatches() {
  ApiError error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "TOO_MANY_STREAMS";
  error.message = "this replica serves as many watches as it can";
  error.never_retry = true;
  return error;
}

Result<std::chrono::milliseconds> IntervalOf(const v1::WatchGatewayStateRequest& request) {
  if (!request.has_interval()) return std::chrono::milliseconds(kStateIntervalDefault);
  const auto ms = google::protobuf::util::TimeUtil::DurationToMilliseconds(request.interval());
  const std::chrono::milliseconds interval(ms);
  if (interval >= kStateIntervalShortest && interval <= kStateIntervalLongest) return interval;
  return InvalidField({{"interval", "must be 1 s to 300 s"}});
}

}  // namespace

/// gRPC's side of one watch. It ends once, by End; what refers to it keeps it until OnDone.
class StateWatches::Watch final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                                  public std::enable_shared_from_this<Watch> {
 public:
  Watch(StateWatches& owner, grpc::CallbackServerContext& context)
      : owner_(owner), context_(context), began_(owner.parts_.clock.Now()) {
    owner.meter_.Began();
  }

  void Begin(const grpc::ByteBuffer& bytes, bool refuse) {
    self_ = shared_from_this();
    owner_.parts_.guard.Check(AuthorizationOf(context_), Scope::kOperator,
                              [self = self_, &bytes, refuse](const Result<Caller>& caller) {
                                self->Known(bytes, refuse, caller);
                              });
  }

  const std::string& tenant() const { return tenant_; }
  bool IsDue(MonotonicTime now) {
    MutexLock lock(mu_);
    return now >= due_at_;
  }
  /// Writes `state` if it is due or of another shape than the last one, and none is on its way.
  bool Offer(const v1::GatewayState& state, const std::string& shape, MonotonicTime now) {
    MutexLock lock(mu_);
    if (ended_ || writing_ || (now < due_at_ && shape == shape_)) return false;
    writing_ = true;
    due_at_ = now + interval_;
    shape_ = shape;
    v1::WatchGatewayStateResponse response;
    *response.mutable_state() = state;
    WriteResponse(response, written_);
    StartWrite(&written_);
    return true;
  }
  /// Looks, now and then, whether the token still holds.
  void CheckToken(MonotonicTime now) {
    {
      MutexLock lock(mu_);
      if (now < check_at_) return;
      check_at_ = now + kTokenRecheck;
    }
    owner_.parts_.guard.CheckAgain(
        token_, Scope::kOperator, [self = shared_from_this()](const Result<Caller>& caller) {
          const auto* error = std::get_if<ApiError>(&caller);
          if (error != nullptr && error->code != absl::StatusCode::kUnavailable) self->End(*error);
        });
  }
  void End(const std::optional<ApiError>& error) {
    MutexLock lock(mu_);
    if (std::exchange(ended_, true)) return;
    owner_.meter_.Count(error ? error->code : absl::StatusCode::kOk,
                        owner_.parts_.clock.Now() - began_);
    // Under the lock: no write may begin after it.
    Finish(error ? Refuse(context_, owner_.parts_.random, *error, owner_.meter_.method(), {})
                 : grpc::Status::OK);
  }

  // --- gRPC's reactions
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mu_);
      writing_ = false;
    }
    if (!ok) End(std::nullopt);
  }
  void OnCancel() override { End(std::nullopt); }
  void OnDone() override {
    owner_.Remove(this);
    self_.reset();
  }

 private:
  void Known(const grpc::ByteBuffer& bytes, bool refuse, const Result<Caller>& caller) {
    if (const auto* error = std::get_if<ApiError>(&caller)) return End(*error);
    if (refuse) return End(ServerDraining());
    v1::WatchGatewayStateRequest request;
    if (const auto error = ParseRequest(bytes, request)) return End(*error);
    const Result<std::chrono::milliseconds> interval = IntervalOf(request);
    if (const auto* error = std::get_if<ApiError>(&interval)) return End(*error);
    if (!owner_.parts_.states.Knows(request.tenant())) return End(TenantNotFound(request.tenant()));
    tenant_ = request.tenant();
    token_ = std::get<Caller>(caller).token_sha256;
    {
      MutexLock lock(mu_);
      interval_ = std::get<std::chrono::milliseconds>(interval);
      check_at_ = owner_.parts_.clock.Now() + kTokenRecheck;
    }
    if (!owner_.Add(shared_from_this())) return End(TooManyWatches());
    owner_.Nudge();
  }

  StateWatches& owner_;
  grpc::CallbackServerContext& context_;
  const MonotonicTime began_;
  std::shared_ptr<Watch> self_;  ///< Until OnDone.
  std::string tenant_;           ///< Set before Add.
  std::string token_;

  Mutex mu_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  std::chrono::milliseconds interval_ ABSL_GUARDED_BY(mu_){};
  MonotonicTime due_at_ ABSL_GUARDED_BY(mu_){};
  MonotonicTime check_at_ ABSL_GUARDED_BY(mu_){};
  std::string shape_ ABSL_GUARDED_BY(mu_);
  grpc::ByteBuffer written_ ABSL_GUARDED_BY(mu_);  ///< Kept while it is being written.
};

StateWatches::StateWatches(Parts parts)
    : parts_(parts), meter_(parts.metrics, parts.calls, "WatchGatewayState") {}

void StateWatches::Start() {
  worker_.emplace("admin-watch", [this](std::stop_token stop) {
    {
      MutexLock lock(mu_);
      nudged_.WaitFor(mu_, stop, kStateLook,
                      [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return nudge_; });
      nudge_ = false;
    }
    if (!stop.stop_requested()) Step();
  });
}

std::size_t StateWatches::Step() {
  const MonotonicTime now = parts_.clock.Now();
  std::map<std::string, std::vector<std::shared_ptr<Watch>>> by_tenant;
  for (auto& watch : All()) by_tenant[watch->tenant()].push_back(std::move(watch));
  std::size_t written = 0;
  for (const auto& [tenant, watches] : by_tenant) {
    for (const auto& watch : watches) watch->CheckToken(now);
    const Result<v1::GatewayState> read = parts_.states.Read(tenant);
    if (const auto* error = std::get_if<ApiError>(&read)) {
      // The database being away ends nothing: the next look tells.
      if (error->code == absl::StatusCode::kUnavailable) continue;
      for (const auto& watch : watches) watch->End(*error);
      continue;
    }
    const auto& state = std::get<v1::GatewayState>(read);
    const std::string shape = ShapeOf(state);
    for (const auto& watch : watches) written += watch->Offer(state, shape, now) ? 1 : 0;
  }
  return written;
}

void StateWatches::Nudge() {
  MutexLock lock(mu_);
  nudge_ = true;
  nudged_.NotifyOne();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* StateWatches::Open(grpc::CallbackServerContext* context,
                                                               const grpc::ByteBuffer* request,
                                                               bool refuse) {
  const auto watch = std::make_shared<Watch>(*this, *context);  // keeps itself until OnDone
  watch->Begin(*request, refuse);
  return watch.get();
}

void StateWatches::End() {
  worker_.reset();
  {
    MutexLock lock(mu_);
    ending_ = true;
  }
  for (const auto& watch : All()) watch->End(ServerDraining());
}

bool StateWatches::Add(std::shared_ptr<Watch> watch) {
  MutexLock lock(mu_);
  if (ending_ || watches_.size() >= kMaxStateWatches) return false;
  watches_.push_back(std::move(watch));
  return true;
}

void StateWatches::Remove(const Watch* watch) {
  MutexLock lock(mu_);
  std::erase_if(watches_, [watch](const auto& other) { return other.get() == watch; });
}

std::vector<std::shared_ptr<StateWatches::Watch>> StateWatches::All() {
  MutexLock lock(mu_);
  return watches_;
}

}  // namespace postrider
