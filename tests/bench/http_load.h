#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace postrider::bench {

/// How an HTTP load ran.
struct HttpResult {
  double rate = 0;  ///< Answers 200 per second.
  std::int64_t failed = 0;
  std::vector<double> latency_ms;
};

/// Requests over keep-alive connections to 127.0.0.1, each connection one at a time, driven by one
/// thread with epoll. `request_of` makes the n-th request's bytes. `rate` 0: as fast as answers
/// come; else so many a second in all, late ones counted from when they were due.
HttpResult RunHttpLoad(int port, int connections, double rate, double seconds,
                       const std::function<std::string(std::int64_t)>& request_of);

/// The bytes of a request.
std::string PostOf(const std::string& path, const std::string& body);
std::string GetOf(const std::string& path);

/// A status webhook of the guide for a message's first attempt, of the n-th second of a day.
std::string ReceiptOf(const std::string& message_id, const char* status, std::int64_t n = 0);

}  // namespace postrider::bench
