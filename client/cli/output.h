#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>

#include "client/cli/context.h"
#include "client/cli/settings.h"
#include "postrider/v1/message_service.pb.h"

namespace postrider::cli {

/// Rows of text in aligned columns, the last one ragged. Control characters are shown as '?'.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : rows_{std::move(headers)} {}
  /// As many cells as there are headers.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  /// `colour`: the header row bold, states in their colours.
  void Print(std::ostream& out, bool colour) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// How many columns `text` takes on a terminal, one for each UTF-8 character.
std::size_t WidthOf(std::string_view text);

/// True when stdout is a terminal and NO_COLOR is not set. Source: https://no-color.org
bool UseColour(const Context& context);

/// Proto JSON with the field names of the .proto and every field present; one line for kJsonl.
std::string JsonOf(const google::protobuf::Message& message, Output output);

/// The name of an enum's value without what all its values begin with; the number for a value that
/// this program does not know, whose name is empty.
std::string WithoutPrefix(const std::string& name, std::string_view prefix, int value);
/// "DELIVERED" for MESSAGE_STATE_DELIVERED; the number for a value this program does not know.
std::string StateName(v1::MessageState state);
std::string CauseName(v1::Cause cause);
std::string OutcomeName(v1::AttemptOutcome outcome);

/// `seconds` from now by this machine's clock; before now when negative.
google::protobuf::Timestamp TimeFromNow(const Context& context, double seconds);

/// RFC 3339 in UTC with milliseconds; empty for an unset time.
std::string TimeText(const google::protobuf::Timestamp& time);

/// One line for people: failure, provider code, hold, correction, and whether it is final.
std::string DetailOf(const v1::StatusChange& change);

/// "NAME: value" lines of a message, for people.
void PrintMessage(const Context& context, const v1::Message& message);

/// Prints the elements of a stream as they come: a table that grows, or JSON. Checkpoints are not
/// printed.
class ElementPrinter {
 public:
  ElementPrinter(const Context& context, Output output);
  void Print(const v1::StreamStatusResponse& element);

 private:
  const Context& context_;
  const Output output_;
  bool has_header_ = false;
};

}  // namespace postrider::cli
