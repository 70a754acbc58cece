#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct ssl_ctx_st;
struct ssl_st;

namespace postrider {

/// Whom a TLS client trusts, and how it talks: TLS 1.2 or newer, certificate and host always
/// verified. Loading the system's store takes megabytes: share one among clients. Immutable and
/// safe from any thread.
class TlsContext {
 public:
  /// `ca_file` in PEM replaces the system's store; empty means the system's.
  /// FAILED_PRECONDITION naming the file when it cannot be loaded.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(const std::string& ca_file = {});

  ssl_ctx_st* get() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  const std::shared_ptr<ssl_ctx_st> context_;
};

/// The TLS of one connection as a client, without its socket: bytes to and from the wire pass
/// through the caller, who thereby knows which have left. One thread at a time.
class TlsSession {
 public:
  enum class Progress { kDone, kNeedsWire, kEnded, kFailed };

  /// `host` is what the certificate must name, a DNS name or an IP address.
  TlsSession(const TlsContext& context, const std::string& host);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// kNeedsWire: pass on TakeOutgoing(), then give Incoming() what arrives, and call again.
  Progress Handshake();
  /// Encrypts all of `bytes`; false when the session is broken. Nothing leaves by itself.
  bool Encrypt(std::string_view bytes);
  /// Appends what can be decrypted now, some kilobytes at most. kEnded: the peer said good-bye.
  Progress Decrypt(std::string& to);

  std::string TakeOutgoing();
  void Incoming(std::string_view bytes);

  /// After kFailed: why, for people.
  const std::string& error() const { return error_; }

 private:
  Progress Judge(int result);

  struct Free {
    void operator()(ssl_st* session) const;
  };
  const std::unique_ptr<ssl_st, Free> session_;
  std::string error_;
};

}  // namespace postrider
