#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

#include <openssl/ssl.h>

#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/base/worker.h"
#include "server/http/socket.h"
#include "tests/support/http_certificate.h"

namespace postrider {

/// One connection as a misbehaving server sees it: plain, or TLS when it has a session. Reads
/// give up after ten seconds.
class HttpRawPeer {
 public:
  explicit HttpRawPeer(UniqueFd fd, SSL* session = nullptr)
      : fd_(std::move(fd)), session_(session, &SSL_free) {
    const timeval longest{10, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest));
    SetNoDelay(fd_.get());
    if (session != nullptr) SSL_set_fd(session, fd_.get());
    usable_ = session == nullptr || SSL_accept(session) == 1;
  }
  HttpRawPeer(HttpRawPeer&&) = default;

  bool usable() const { return usable_; }

  /// The next complete request with its body, or empty when the client left.
  std::string ReadRequest() {
    for (;;) {
      const std::size_t head = input_.find("\r\n\r\n");
      if (head != std::string::npos) {
        constexpr std::string_view kName = "Content-Length: ";
        const std::size_t at = input_.find(kName);
        const std::size_t body = at < head ? std::stoul(input_.substr(at + kName.size(), 10)) : 0;
        if (input_.size() >= head + 4 + body) {
          std::string request = input_.substr(0, head + 4 + body);
          input_.erase(0, request.size());
          return request;
        }
      }
      char bytes[4096];
      const int size = session_ != nullptr
                           ? SSL_read(session_.get(), bytes, sizeof(bytes))
                           : static_cast<int>(recv(fd_.get(), bytes, sizeof(bytes), 0));
      if (size <= 0) return {};
      input_.append(bytes, static_cast<std::size_t>(size));
    }
  }

  /// False when the client left.
  bool Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const int size =
          session_ != nullptr
              ? SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size()))
              : static_cast<int>(send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
  }

  bool Answer(std::string_view body, std::string_view headers = "") {
    return Write("HTTP/1.1 200 OK\r\n" + std::string(headers) +
                 "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }

  /// Waits until the client leaves.
  void AwaitEnd() {
    while (!ReadRequest().empty()) {
    }
  }

  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::unique_ptr<SSL, decltype(&SSL_free)> session_;
  std::string input_;
  bool usable_ = false;
};

/// A server that treats each connection, one after another, by a script of the test's.
class HttpRawServer {
 public:
  using Script = std::function<void(HttpRawPeer&)>;

  /// Connection i gets script i, the last one repeats. TLS when there is a certificate.
  explicit HttpRawServer(std::vector<Script> scripts, const HttpCertificate* certificate = nullptr)
      : scripts_(std::move(scripts)), listener_(*Listen("127.0.0.1", 0, 16)) {
    if (certificate != nullptr) {
      tls_.reset(SSL_CTX_new(TLS_server_method()));
      PR_CHECK(SSL_CTX_use_certificate(tls_.get(), certificate->certificate()) == 1);
      PR_CHECK(SSL_CTX_use_PrivateKey(tls_.get(), certificate->key()) == 1);
    }
    worker_ = std::make_unique<Worker>("raw-server", [this](std::stop_token stop) { Step(stop); });
  }

  int port() const { return LocalPort(listener_.get()); }
  std::string Url() const {
    return (tls_ != nullptr ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port());
  }

  int connections() {
    MutexLock lock(mu_);
    return begun_;
  }
  /// Waits until `count` connections have been treated and closed; false after ten seconds.
  bool AwaitEnded(int count) {
    MutexLock lock(mu_);
    return changed_.WaitFor(mu_, {}, std::chrono::seconds(10),
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return ended_ >= count; });
  }

 private:
  void Step(std::stop_token) {
    // OpenSSL writes to its sockets without MSG_NOSIGNAL; the rest of the process must do better.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    pollfd waited{listener_.get(), POLLIN, 0};
    constexpr int kTurnMs = 5;
    if (poll(&waited, 1, kTurnMs) != 1) return;
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.ok()) return;
    std::size_t script = 0;
    {
      MutexLock lock(mu_);
      script = std::min(static_cast<std::size_t>(begun_++), scripts_.size() - 1);
    }
    {
      HttpRawPeer peer(std::move(fd), tls_ != nullptr ? SSL_new(tls_.get()) : nullptr);
      if (peer.usable()) scripts_[script](peer);
    }
    MutexLock lock(mu_);
    ++ended_;
    changed_.NotifyAll();
  }

  const std::vector<Script> scripts_;
  const UniqueFd listener_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_{nullptr, &SSL_CTX_free};

  Mutex mu_;
  CondVar changed_;
  int begun_ ABSL_GUARDED_BY(mu_) = 0;
  int ended_ ABSL_GUARDED_BY(mu_) = 0;

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
