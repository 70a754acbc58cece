#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "server/http/front.h"

namespace postrider {

/// One client of a front. Idle until the first byte of a request, then around: reading, answering
/// (the request is with a worker), writing, idle; or lingering after the last answer, and closed.
struct HttpFront::Connection {
  enum class State { kIdle, kReading, kAnswering, kWriting, kLingering, kClosed };

  Connection(std::uint64_t number, UniqueFd socket, std::string peer, const FrameLimits& limits)
      : id(number), remote_address(std::move(peer)), fd(std::move(socket)), framer(limits) {}

  const std::uint64_t id;
  const std::string remote_address;  ///< Without port.
  UniqueFd fd;
  State state = State::kIdle;
  std::uint32_t interest = 0;  ///< The epoll events asked for.
  MonotonicTime deadline{};    ///< Of the present state; max for none.

  std::string in;  ///< From the first byte of the request being read.
  RequestFramer framer;
  bool told_to_continue = false;

  std::string out;
  std::size_t written = 0;
  bool close_after = false;
  bool peer_gone = false;  ///< While its request is with a worker.

  std::size_t discarded = 0;
  std::size_t accounted = 0;  ///< Its share of the front's buffered bytes.
};

}  // namespace postrider
