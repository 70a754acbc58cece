#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

namespace postrider {

/// How the sandbox answers the POST of a message.
enum class SandboxAnswer {
  kAccept,           ///< 202 with id and conversationId.
  kAcceptHtml,       ///< 200 with a page that nobody can read an id from.
  kAcceptWithoutId,  ///< 202 with an empty object.
  kRefuse,           ///< `http_status` with the documented error body.
  kHangUp,           ///< The connection is closed without an answer.
};

/// In which order the receipts of a message leave, and how often.
enum class SandboxReceipts {
  kInOrder,
  kBeforeAnswer,   ///< All of them are at the webhook before the POST is answered.
  kBackwardsTwice  ///< The last one first, each of them twice.
};

/// What the sandbox does with a message: the default is the ordinary good case.
struct SandboxBehaviour {
  SandboxAnswer answer = SandboxAnswer::kAccept;
  int http_status = 202;
  std::string_view code = {};           ///< Of the error body, with kRefuse.
  std::chrono::seconds retry_after{0};  ///< 0: the header is not sent.
  bool first_only = false;              ///< Refuses the first POST of a message only.
  bool unless_joined = false;           ///< Does not refuse a POST that joins a conversation.
  bool processed = true;                ///< The message goes out, whatever the answer says.
  std::chrono::milliseconds answer_after{0};
  std::string_view last_status = "delivered";  ///< delivered, failed, sent, or empty: no receipts.
  std::string_view error_code = {};            ///< Of a failed receipt.
  SandboxReceipts receipts = SandboxReceipts::kInOrder;
  bool echoes_metadata = true;
};

/// A recipient that decides how its message ends.
struct MagicNumber {
  std::string_view number;  ///< "+15550000429"; where it stands for an HTTP answer, ends in it.
  std::string_view name;    ///< "TOO_MANY_REQUESTS": as in README.
  std::string_view shows;   ///< What happens and where the message ends, one sentence.
  SandboxBehaviour behaviour;
};

/// All magic numbers, as README lists them. Every other recipient is delivered.
std::span<const MagicNumber> MagicNumbers();

/// The row of `recipient`, or that of the ordinary good case.
const MagicNumber& MagicNumberOf(std::string_view recipient);

/// The table as people read it: number, name, what it shows; a line each.
std::string MagicNumbersText();

}  // namespace postrider
