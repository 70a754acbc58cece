#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/http/exchange.h"
#include "server/http/framing.h"
#include "server/http/socket.h"

namespace postrider {

struct HttpFrontOptions {
  std::string name = "http";  ///< Label of the metrics.
  FrameLimits frame = {};
  std::size_t connections = 1024;
  /// Of all connections together: requests not yet complete, and answers not yet written.
  std::size_t buffered_bytes = 64 << 20;
  std::chrono::nanoseconds request_deadline = std::chrono::seconds(10);  ///< From its first byte.
  std::chrono::nanoseconds idle_deadline = std::chrono::seconds(60);     ///< Between requests.
  /// From a whole request to its answer; then a 503, and the answer that still comes is dropped.
  std::chrono::nanoseconds answer_deadline = std::chrono::seconds(60);
  std::chrono::nanoseconds write_deadline = std::chrono::seconds(10);  ///< For a whole answer.
  /// How long a refused client may go on sending, unread, so that it can read why.
  std::chrono::nanoseconds linger = std::chrono::seconds(1);
  /// The longest a step waits for something to happen.
  std::chrono::nanoseconds longest_wait = std::chrono::seconds(1);
};

/// The connections of one server, all on one worker: accepts, reads complete requests, hands them
/// to the exchange, writes the answers. No socket, however slow, holds anything but its place
/// among `connections`; a request's deadline does not move when bytes arrive.
///
/// A connection has one request under way at most; what a client sends ahead stays in its buffer,
/// and beyond that in the kernel's. Step() belongs to one thread.
class HttpFront {
 public:
  /// All references must outlive the front.
  HttpFront(HttpFrontOptions options, UniqueFd listener, HttpExchange& exchange, const Clock& clock,
            Metrics& metrics);
  ~HttpFront();
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  /// Waits for something to happen, for `longest_wait` at most, and does it.
  void Step(std::stop_token stop);

 private:
  struct Connection;

  void AcceptSome();
  void Admit(UniqueFd fd);
  /// Accepts and closes one connection by a file kept in reserve: otherwise the listener would
  /// stay readable, and the step loop spin, until a file is free.
  void ShedOne();
  void PauseAccepting();
  void ResumeAccepting();

  void OnEvents(Connection& connection, std::uint32_t events);
  void ReadSome(Connection& connection);
  void Frame(Connection& connection);
  void HandOver(Connection& connection);
  void Refuse(Connection& connection, const Refusal& refusal);
  void OnAnswer(HttpExchange::Answer answer);
  void BeginWriting(Connection& connection, std::string bytes, bool close);
  void WriteSome(Connection& connection);
  void AwaitNext(Connection& connection);
  void Linger(Connection& connection);
  void Discard(Connection& connection);
  void Close(Connection& connection);

  void OnDrain();
  void OnDeadline(Connection& connection);
  void SweepDeadlines();
  int WaitMs() const;
  void SetDeadline(Connection& connection, MonotonicTime deadline);
  void SetInterest(Connection& connection, std::uint32_t events);
  /// Brings the sum of buffered bytes up to date; false when it is over the limit.
  bool Account(Connection& connection);
  void Count(std::string_view reason);

  const HttpFrontOptions options_;
  HttpExchange& exchange_;
  const Clock& clock_;
  Metrics& metrics_;
  Gauge& open_;
  Counter& requests_;
  const UniqueFd epoll_;

  UniqueFd listener_;
  UniqueFd reserve_;
  MonotonicTime resume_accepting_ = MonotonicTime::max();
  std::uint64_t next_id_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::uint64_t> closed_;  ///< Erased at the end of the step.
  std::size_t buffered_bytes_ = 0;
  MonotonicTime next_sweep_ = MonotonicTime::max();  ///< No deadline lies before it.
  bool draining_ = false;
};

}  // namespace postrider
