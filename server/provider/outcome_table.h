#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/base/clock.h"
#include "server/model/dispatch_limits.h"
#include "server/model/message.h"
#include "server/provider/provider.h"

namespace postrider {

/// Of which accounts a row speaks.
enum class OutcomeOnly : std::uint8_t {
  kEveryAccount,
  kConversationFails,  ///< ActiveConversation::kFail
  kRefusedAtEdge,
};

/// One row of the table that says what a reply means for the message.
struct OutcomeRow {
  int lowest_status;
  int highest_status;
  std::string_view code;  ///< The reply's `code`; empty: any, or none.
  OutcomeOnly only = OutcomeOnly::kEveryAccount;
  OutcomeKind kind;
  FailureReason failure = FailureReason::kNone;
  HoldReason hold = HoldReason::kNone;
  std::chrono::seconds wait{};  ///< With kNotSent and kHeld: when the reply does not say.
  bool pauses_tenant = false;
  bool stops_tenant = false;
  std::string_view detail;
};

/// The outcome table, the only one: the first row that fits decides. A status in no row may mean
/// anything, so it is kUnknown.
/// Source: provider's API description, "Errors"; server/README.md, step 6.
std::span<const OutcomeRow> OutcomeTable();

/// The part of a reply that decides, and of the account that it came to.
struct ReplyFacts {
  int http_status = 0;
  std::string code = {};         ///< Of the error body; empty when it has none.
  std::string retry_after = {};  ///< The header as it came; empty when absent.
  ActiveConversation active_conversation = ActiveConversation::kFail;
  bool refused_at_edge = false;

  /// Whether `row` is about this reply.
  bool Fits(const OutcomeRow& row) const;
};

/// What `reply`, which came at `now`, means. Pure. A 401 stands here for the second one: the
/// first is answered by a new token and one repetition (provider/api_client.h).
Outcome OutcomeOf(const ReplyFacts& reply, WallTime now);

/// What it means that no reply came. `may_have_left`: at least one byte of the request may have
/// reached the other side, so the message may have been sent. `detail` is cut at 200 characters and
/// made one line. Pure.
Outcome OutcomeWithoutReply(bool may_have_left, std::string_view detail);

/// The wait that a Retry-After header asks for: whole seconds or an HTTP date, from `now`. Past
/// dates are 0, what is longer than kMaxRetryAfter is kMaxRetryAfter; nothing when it is neither
/// (negative, fractions, words). Pure. Source: RFC 9110 sections 10.2.3 and 5.6.7.
std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view header, WallTime now);

/// `text` when it is fit for an attempt's row and for logs: 1 .. 128 of [A-Za-z0-9._-]; else empty.
std::string CleanCode(std::string_view text);

}  // namespace postrider
