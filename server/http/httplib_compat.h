#pragma once

/// What differs between the cpp-httplib versions we build with: 0.11.4 (Debian 12) and 0.18.7
/// (Debian 13). Everything else we use of it is the same in both: httplib::Stream's virtuals,
/// ClientImpl::process_request, Request, Response. Included by router.cc and client.cc alone.

#include <functional>
#include <type_traits>

#include <httplib.h>

namespace postrider {

/// httplib::Server with its protected process_request in one shape. Never listens: requests come
/// to it as bytes.
class HttplibRouter : public httplib::Server {
 public:
  /// Reads one request from `stream` and writes its answer there. False when it could not.
  bool Process(httplib::Stream& stream, bool close_connection) {
    bool closed = false;
    return Call(&HttplibRouter::process_request, stream, close_connection, closed);
  }

 private:
  using SetUp = std::function<void(httplib::Request&)>;

  /// 0.11
  template <typename Class>
  bool Call(bool (Class::*process)(httplib::Stream&, bool, bool&, const SetUp&),
            httplib::Stream& stream, bool close_connection, bool& closed) {
    return (this->*process)(stream, close_connection, closed, nullptr);
  }
  /// 0.18
  template <typename Class>
  bool Call(bool (Class::*process)(httplib::Stream&, const std::string&, int, const std::string&,
                                   int, bool, bool&, const SetUp&),
            httplib::Stream& stream, bool close_connection, bool& closed) {
    return (this->*process)(stream, "", 0, "", 0, close_connection, closed, nullptr);
  }
};

/// Gives out httplib's client-side reading and writing over a stream of our own, none of its
/// connections: those would be made anew, and a request sent again, without a word.
class HttplibExchange : public httplib::ClientImpl {
 public:
  using httplib::ClientImpl::ClientImpl;

  /// Writes `request` to `stream` and reads the answer. False, with `error`, when it could not;
  /// `response` then holds what came so far.
  bool Process(httplib::Stream& stream, httplib::Request& request, httplib::Response& response,
               httplib::Error& error) {
    constexpr bool kCloseConnection = false;
    return process_request(stream, request, response, kCloseConnection, error);
  }
};

/// A stream that is not a socket. Both versions have the same virtuals; newer ones add more.
class HttplibStream : public httplib::Stream {
 public:
  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return INVALID_SOCKET; }
};

}  // namespace postrider
