#include "server/base/secret.h"

#include <openssl/crypto.h>

namespace postrider {

Secret::~Secret() { OPENSSL_cleanse(value_.data(), value_.size()); }

}  // namespace postrider
