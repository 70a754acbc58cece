#include "server/api/call.h"

#include "server/api/convert.h"
#include "server/api/wire.h"
#include "server/base/log.h"

namespace postrider {

namespace {

/// A refusal is the caller's matter, unless it has internals: then something of ours went wrong.
LogLevel LevelOf(const ApiError& error) {
  if (error.code == absl::StatusCode::kInternal) return LogLevel::kError;
  return error.internals.empty() ? LogLevel::kDebug : LogLevel::kWarning;
}

void LogRefusal(const ApiError& error, const std::string& call_id, std::string_view method,
                TenantId tenant) {
  const LogLevel level = LevelOf(error);
  if (!LogEnabled(level)) return;
  WriteLog(level, level == LogLevel::kError ? "call failed" : "call refused",
           {{"call_id", call_id},
            {"tenant", tenant.IsNil() ? "" : tenant.ToString()},
            {"method", method},
            {"reason", error.reason},
            {"error", error.internals}});
}

}  // namespace

CallMeter::CallMeter(Metrics& metrics, CallsUnderWay& calls, const std::string& method)
    : metrics_(metrics),
      calls_(calls),
      method_(method),
      seconds_(metrics.HistogramOf("postrider_call_seconds", "Time from a call to its end.",
                                   {{"method", method}})) {}

void CallMeter::Count(absl::StatusCode code, std::chrono::nanoseconds took) {
  const auto index = static_cast<std::size_t>(code) % kCodes;
  Counter* counter = by_code_[index].load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &metrics_.CounterOf("postrider_calls_total", "Calls that ended.",
                                  {{"method", method_}, {"code", absl::StatusCodeToString(code)}});
    by_code_[index].store(counter, std::memory_order_release);
  }
  counter->Add();
  seconds_.Observe(std::chrono::duration<double>(took).count());
  calls_.End();
}

void CallMeter::CountRefusal(const std::string& reason) {
  metrics_
      .CounterOf("postrider_refusals_total", "Calls that were refused, by ErrorInfo.reason.",
                 {{"method", method_}, {"reason", reason}})
      .Add();
}

std::string NoteRefusal(Random& random, const ApiError& error, std::string_view method,
                        TenantId tenant) {
  std::string call_id = MakeUuidV4(random).ToString();
  LogRefusal(error, call_id, method, tenant);
  return call_id;
}

grpc::Status Refuse(grpc::CallbackServerContext& context, Random& random, const ApiError& error,
                    std::string_view method, TenantId tenant) {
  const std::string call_id = NoteRefusal(random, error, method, tenant);
  context.AddTrailingMetadata("postrider-call-id", call_id);
  const std::string pushback = PushbackOf(error);
  if (!pushback.empty()) context.AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
  return ToGrpcStatus(error, call_id);
}

std::string_view AuthorizationOf(const grpc::CallbackServerContext& context) {
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  if (begin == end || std::next(begin) != end) return {};
  return {begin->second.data(), begin->second.size()};
}

void UnaryCall::Ok() const {
  WriteResponse(*response, *answer);
  meter->Count(absl::StatusCode::kOk, clock->Now() - began);
  reactor->Finish(grpc::Status::OK);
}

void UnaryCall::Fail(const ApiError& error) const {
  const grpc::Status status = Refuse(*context, *random, error, meter->method(), tenant);
  meter->CountRefusal(error.reason);
  meter->Count(error.code, clock->Now() - began);
  reactor->Finish(status);
}

}  // namespace postrider
