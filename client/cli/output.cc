#include "client/cli/output.h"

#include <algorithm>
#include <cstdio>
#include <ostream>
#include <utility>

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include "client/error.h"
#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

using client::Printable;

constexpr char kBold[] = "\033[1m";
constexpr char kReset[] = "\033[0m";

/// Green for arrived, red for what will not, yellow for doubtful; empty for all else.
std::string_view ColourOf(std::string_view cell) {
  if (cell == "DELIVERED") return "\033[32m";
  if (cell == "FAILED" || cell == "REJECTED" || cell == "EXPIRED" || cell == "SUPPRESSED") {
    return "\033[31m";
  }
  if (cell == "UNKNOWN" || cell == "UNDETERMINED" || cell == "CANCELLED") return "\033[33m";
  return "";
}

void PrintRow(std::ostream& out, const std::vector<std::string>& cells,
              const std::vector<std::size_t>& widths, std::string_view row_colour, bool colour) {
  std::size_t count = cells.size();
  while (count > 0 && cells[count - 1].empty()) --count;  // No space at the end of a line.
  for (std::size_t i = 0; i < count; ++i) {
    const std::string cell = Printable(cells[i]);
    std::string_view paint = row_colour;
    if (colour && paint.empty()) paint = ColourOf(cell);
    out << paint << cell << (paint.empty() ? "" : kReset);
    if (i + 1 == count) break;
    const std::size_t width = WidthOf(cell);
    out << std::string(std::max(widths[i], width) - width + 2, ' ');
  }
  out << "\n";
}

// Of the table of changes; it grows as they come, so its widths are set beforehand.
const std::vector<std::string> kElementHeaders = {"TIME",  "MESSAGE", "REV",   "STATE",
                                                  "CAUSE", "ATTEMPT", "DETAIL"};
const std::vector<std::size_t> kElementWidths = {24, 36, 3, 12, 16, 7, 0};

}  // namespace

std::string WithoutPrefix(const std::string& name, std::string_view prefix, int value) {
  if (name.empty()) return StrCat(value);
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

void Table::Print(std::ostream& out, bool colour) const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    PR_CHECK(row.size() == widths.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], WidthOf(Printable(row[i])));
    }
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    PrintRow(out, rows_[i], widths, i == 0 && colour ? kBold : "", colour);
  }
}

std::size_t WidthOf(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool UseColour(const Context& context) {
  return context.out_is_terminal && context.env("NO_COLOR").empty();
}

std::string JsonOf(const google::protobuf::Message& message, Output output) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = output != Output::kJsonl;
  std::string json;
  const auto written = google::protobuf::util::MessageToJsonString(message, &json, options);
  PR_CHECK(written.ok());
  if (!json.ends_with('\n')) json.push_back('\n');
  return json;
}

std::string StateName(v1::MessageState state) {
  return WithoutPrefix(v1::MessageState_Name(state), "MESSAGE_STATE_", state);
}
std::string CauseName(v1::Cause cause) {
  return WithoutPrefix(v1::Cause_Name(cause), "CAUSE_", cause);
}
std::string OutcomeName(v1::AttemptOutcome outcome) {
  if (outcome == v1::ATTEMPT_OUTCOME_UNSPECIFIED) return "UNDER_WAY";
  return WithoutPrefix(v1::AttemptOutcome_Name(outcome), "ATTEMPT_OUTCOME_", outcome);
}

google::protobuf::Timestamp TimeFromNow(const Context& context, double seconds) {
  const auto at =
      context.seams.clock.Wall().time_since_epoch() +
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(at).count());
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) return "";
  google::protobuf::Timestamp whole = time;
  whole.set_nanos(0);
  std::string text = google::protobuf::util::TimeUtil::ToString(whole);
  if (text.ends_with('Z')) text.pop_back();
  const std::string ms = StrCat(1000 + time.nanos() / 1'000'000);
  return StrCat(text, ".", ms.substr(1), "Z");
}

std::string DetailOf(const v1::StatusChange& change) {
  std::vector<std::string> parts;
  if (change.has_failure()) {
    const v1::Failure& failure = change.failure();
    parts.push_back(WithoutPrefix(v1::FailureReason_Name(failure.reason()), "FAILURE_REASON_",
                                  failure.reason()));
    if (!failure.correlation_id().empty()) {
      parts.push_back(StrCat("correlation ", failure.correlation_id()));
    }
  }
  if (!change.provider_code().empty()) parts.push_back(change.provider_code());
  if (change.has_hold()) {
    parts.push_back(StrCat("waits for ",
                           WithoutPrefix(v1::HoldReason_Name(change.hold().reason()),
                                         "HOLD_REASON_", change.hold().reason()),
                           " until ", TimeText(change.hold().until())));
  }
  if (change.correction()) parts.emplace_back("correction");
  if (change.final()) parts.emplace_back("final");
  std::string line;
  for (const std::string& part : parts) StrAppend(line, line.empty() ? "" : ", ", part);
  return line;
}

void PrintMessage(const Context& context, const v1::Message& message) {
  const bool colour = UseColour(context);
  Table table({"message", message.message_id()});
  const auto add = [&table](const char* name, const std::string& value) {
    if (!value.empty()) table.Add({name, value});
  };
  add("request", message.request_id());
  add("state", StateName(message.status().state()));
  add("detail", DetailOf(message.status()));
  add("recipient", message.recipient_erased() ? "(erased)" : message.recipient());
  add("sender", message.sender());
  add("text", message.text_erased() ? "(erased)" : message.text());
  add("conversation", message.conversation_id());
  add("contact", message.external_contact_id());
  add("campaign", message.campaign_id());
  for (const auto& [key, value] : message.metadata()) table.Add({"metadata " + key, value});
  add("not before", TimeText(message.not_before()));
  add("expires", TimeText(message.expire_at()));
  add("accepted", TimeText(message.accepted_at()));
  add("changed", TimeText(message.status().changed_at()));
  add("provider's id", message.provider_message_id());
  table.Print(context.out, colour);
}

ElementPrinter::ElementPrinter(const Context& context, Output output)
    : context_(context), output_(output) {}

void ElementPrinter::Print(const v1::StreamStatusResponse& element) {
  if (element.has_checkpoint()) return;
  if (output_ != Output::kTable) {
    context_.out << JsonOf(element, output_) << std::flush;
    return;
  }
  const bool colour = UseColour(context_);
  if (!std::exchange(has_header_, true)) {
    PrintRow(context_.out, kElementHeaders, kElementWidths, colour ? kBold : "", colour);
  }
  const v1::StatusChange& change =
      element.has_snapshot() ? element.snapshot().status() : element.change();
  PrintRow(context_.out,
           {TimeText(change.changed_at()), change.message_id(), StrCat(change.revision()),
            StateName(change.state()), element.has_snapshot() ? "(now)" : CauseName(change.cause()),
            StrCat(change.attempt()), DetailOf(change)},
           kElementWidths, "", colour);
  context_.out << std::flush;
}

}  // namespace postrider::cli
