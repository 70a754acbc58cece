#pragma once

#include <cstddef>
#include <string>

#include "server/http/framing.h"
#include "server/http/message.h"

namespace postrider {

/// How an answer is written.
struct AnswerForm {
  bool head = false;   ///< The request was a HEAD: the body is left out, its length is not.
  bool close = false;  ///< The connection is closed afterwards.
  std::size_t most_bytes = 8 << 20;  ///< A longer answer becomes a 500.
};

/// The complete bytes of an HTTP/1.1 answer. Header lines that hold CR, LF or NUL are left out.
/// Our own, since an answer may be given after cpp-httplib's handler has returned, and it can
/// write none then. Source: RFC 9112, sections 4 to 6.
std::string AnswerBytes(const HttpResponse& response, const AnswerForm& form);

/// Answers and closes: the complete bytes of the answer to a refused request. A 503 says when to
/// come again.
std::string RefusalBytes(const Refusal& refusal);

}  // namespace postrider
