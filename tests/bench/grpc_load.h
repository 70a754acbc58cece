#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "postrider/v1/message_service.pb.h"

namespace postrider::bench {

/// How a load ran.
struct LoadResult {
  double rate = 0;  ///< Answered calls per second.
  std::int64_t failed = 0;
  std::vector<double> latency_ms;  ///< One a call.
};

/// SendMessage calls over a few connections.
class SendLoad {
 public:
  struct Target {
    std::string address;
    std::string token;  ///< Empty for the echo server.
    std::string sender;
    std::string prefix;  ///< Of request_ids: its own for each load.
    std::string campaign_id = {};
  };

  explicit SendLoad(Target target) : target_(std::move(target)) {}

  /// `width` calls under way at all times.
  LoadResult ClosedLoop(int width, double seconds);
  /// `rate` calls a second, whether earlier ones were answered or not (`width` at most).
  LoadResult OpenLoop(double rate, int width, double seconds);
  /// One after the other, each waited for by the calling thread.
  LoadResult Alone(int calls);
  /// `count` calls, `width` at a time; the messages' ids.
  std::vector<std::string> Accept(int count, int width);

 private:
  struct Run;
  v1::SendMessageRequest RequestOf(std::int64_t number) const;

  const Target target_;
  std::int64_t next_ = 0;
};

/// Serves MessageService.SendMessage with an answer made of the request, and nothing else: what
/// gRPC itself costs. Prints its port, serves until stdin ends.
int RunEchoServer();

}  // namespace postrider::bench
