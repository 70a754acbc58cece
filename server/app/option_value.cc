// The texts of options: what is allowed, and reading them.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"

#include "server/app/option_table.h"
#include "server/app/tenant_account.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr std::size_t kMaxOptionBytes = 4096;

std::string NumberText(double number) {
  if (number == std::floor(number)) return StrCat(static_cast<std::int64_t>(number));
  return StrCat(number);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename Number>
std::optional<Number> WholeNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<ListenAddress> AddressOf(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == host.npos) return std::nullopt;
  } else if (host.find(':') != host.npos) {
    return std::nullopt;
  }
  const bool clean = std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == ':' ||
           c == '_';
  });
  const auto port = WholeNumber<int>(port_text);
  if (!clean || host.empty() || !port ||
      !absl::ascii_isdigit(static_cast<unsigned char>(port_text.front())) || *port > 65535) {
    return std::nullopt;
  }
  return ListenAddress{std::string(host), *port};
}

std::optional<std::vector<std::string>> SendersOf(std::string_view text) {
  std::vector<std::string> senders;
  if (text.empty()) return senders;
  for (std::string_view part : Split(text, ',')) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!SenderOf(part)) return std::nullopt;
    senders.emplace_back(part);
  }
  return senders;
}

/// Fills in what `kind` says; false when `text` is not such.
bool Fill(const Option& option, std::string_view text, OptionValue& value) {
  switch (option.kind) {
    case OptionKind::kText:
    case OptionKind::kFile:
      return true;
    case OptionKind::kUrl:
      return text.empty() || IsSafeUrl(text);
    case OptionKind::kPath:
      return text.empty() || (text.starts_with('/') && text.find_first_of(" ?#") == text.npos);
    case OptionKind::kAddress:
      if (auto address = AddressOf(text)) return value.address = *address, true;
      return false;
    case OptionKind::kSenders:
      if (auto list = SendersOf(text)) return value.list = *list, true;
      return false;
    case OptionKind::kBool:
      value.flag = text == "true";
      return text == "true" || text == "false";
    case OptionKind::kInteger:
      value.integer = WholeNumber<int>(text).value_or(0);
      return WholeNumber<int>(text) && value.integer >= option.range.lowest &&
             value.integer <= option.range.highest;
    case OptionKind::kNumber:
      value.number = WholeNumber<double>(text).value_or(0);
      return WholeNumber<double>(text) && value.number >= option.range.lowest &&
             value.number <= option.range.highest;
    case OptionKind::kChoice: {
      const auto choices = Split(option.choices, '|');
      return std::find(choices.begin(), choices.end(), text) != choices.end();
    }
  }
  return false;
}

}  // namespace

std::string ListenAddress::Text() const {
  return host.find(':') == host.npos ? StrCat(host, ":", port) : StrCat("[", host, "]:", port);
}

std::string VariableOf(const Option& option) {
  std::string name = StrCat("POSTRIDER_", option.name);
  for (char& c : name) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

std::string AllowedOf(const Option& option) {
  switch (option.kind) {
    case OptionKind::kText:
    case OptionKind::kFile:
      return "up to 4096 bytes without control characters";
    case OptionKind::kUrl:
      return "an https:// URL without query, or http:// to localhost";
    case OptionKind::kPath:
      return "a path from '/', without query";
    case OptionKind::kAddress:
      return "HOST:PORT, such as 127.0.0.1:7070 or [::1]:7070; port 0 is any free one";
    case OptionKind::kSenders:
      return "numbers as +15559876543, short codes or names of 16 characters at most, each with "
             ":SEGMENTS_PER_SECOND or without, with commas";
    case OptionKind::kBool:
      return "true or false";
    case OptionKind::kInteger:
    case OptionKind::kNumber:
      return StrCat(option.kind == OptionKind::kInteger ? "a whole number from " : "a number from ",
                    NumberText(option.range.lowest), " to ", NumberText(option.range.highest), " ",
                    option.range.unit);
    case OptionKind::kChoice: {
      std::string text = "one of ";
      for (char c : option.choices) c == '|' ? text += ", " : text += c;
      return text;
    }
  }
  return "";
}

absl::StatusOr<OptionValue> ParseOption(const Option& option, std::string_view text) {
  OptionValue value;
  value.text = text;
  const bool clean =
      text.size() <= kMaxOptionBytes && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
      });
  if (clean && Fill(option, text, value)) return value;
  return absl::InvalidArgumentError(StrCat("must be ", AllowedOf(option)));
}

}  // namespace postrider
