#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "server/base/check.h"

namespace postrider {

/// A key with a certificate signed by itself, for the names in `subject_alternatives` (such as
/// "IP:127.0.0.1"), also as a PEM file for those who shall trust it. The file goes with it.
class HttpCertificate {
 public:
  explicit HttpCertificate(const std::string& subject_alternatives)
      : key_(EVP_EC_gen("P-256"), &EVP_PKEY_free), certificate_(X509_new(), &X509_free) {
    X509* certificate = certificate_.get();
    constexpr long kDay = 24L * 3600;
    constexpr int kVersion3 = 2;
    X509_set_version(certificate, kVersion3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -kDay);
    X509_gmtime_adj(X509_getm_notAfter(certificate), kDay);
    X509_set_pubkey(certificate, key_.get());
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, subject_alternatives.c_str());
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    PR_CHECK(X509_sign(certificate, key_.get(), EVP_sha256()) > 0);

    char path[] = "/tmp/postrider_certificate_XXXXXX";
    const int fd = mkstemp(path);
    PR_CHECK(fd >= 0);
    file_ = path;
    std::FILE* file = fdopen(fd, "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
  }
  ~HttpCertificate() { unlink(file_.c_str()); }
  HttpCertificate(const HttpCertificate&) = delete;
  HttpCertificate& operator=(const HttpCertificate&) = delete;

  EVP_PKEY* key() const { return key_.get(); }
  X509* certificate() const { return certificate_.get(); }
  const std::string& file() const { return file_; }

 private:
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
  std::unique_ptr<X509, decltype(&X509_free)> certificate_;
  std::string file_;
};

}  // namespace postrider
