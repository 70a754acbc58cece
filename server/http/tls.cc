#include "server/http/tls.h"

#include <array>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider {

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(const std::string& ca_file) {
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  PR_CHECK(context != nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // A session resumed would skip the certificate's check.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  const bool loaded =
      ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get()) == 1
                      : SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr) == 1;
  if (!loaded) {
    ERR_clear_error();
    return absl::FailedPreconditionError(
        StrCat("cannot load CA certificates from ",
               ca_file.empty() ? std::string("the system's store") : ca_file));
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(context));
}

void TlsSession::Free::operator()(ssl_st* session) const { SSL_free(session); }

TlsSession::TlsSession(const TlsContext& context, const std::string& host)
    : session_(SSL_new(context.get())) {
  SSL* session = session_.get();
  PR_CHECK(session != nullptr);
  SSL_set_bio(session, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(session);
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host.c_str()) != 1) {
    PR_CHECK(SSL_set1_host(session, host.c_str()) == 1);
    SSL_set_tlsext_host_name(session, host.c_str());
  }
  ERR_clear_error();
}

TlsSession::~TlsSession() = default;

TlsSession::Progress TlsSession::Handshake() {
  ERR_clear_error();
  return Judge(SSL_do_handshake(session_.get()));
}

bool TlsSession::Encrypt(std::string_view bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  if (bytes.empty()) return true;
  const int result = SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &written);
  return Judge(result) == Progress::kDone && written == bytes.size();
}

TlsSession::Progress TlsSession::Decrypt(std::string& to) {
  ERR_clear_error();
  std::array<char, 16384> bytes;
  std::size_t size = 0;
  const int result = SSL_read_ex(session_.get(), bytes.data(), bytes.size(), &size);
  if (result == 1) to.append(bytes.data(), size);
  return Judge(result);
}

std::string TlsSession::TakeOutgoing() {
  BIO* wire = SSL_get_wbio(session_.get());
  std::string bytes(BIO_ctrl_pending(wire), '\0');
  std::size_t size = 0;
  if (!bytes.empty()) BIO_read_ex(wire, bytes.data(), bytes.size(), &size);
  bytes.resize(size);
  return bytes;
}

void TlsSession::Incoming(std::string_view bytes) {
  std::size_t written = 0;
  const int result =
      BIO_write_ex(SSL_get_rbio(session_.get()), bytes.data(), bytes.size(), &written);
  PR_CHECK(result == 1 && written == bytes.size());  // Memory grows.
}

TlsSession::Progress TlsSession::Judge(int result) {
  if (result > 0) return Progress::kDone;
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Progress::kNeedsWire;
    case SSL_ERROR_ZERO_RETURN:
      return Progress::kEnded;
    default:
      break;
  }
  const long verdict = SSL_get_verify_result(session_.get());
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  error_ = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
           : reason != nullptr  ? reason
                                : "broken TLS session";
  ERR_clear_error();
  return Progress::kFailed;
}

}  // namespace postrider
