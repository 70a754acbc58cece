#include "client/cli/csv.h"

#include <algorithm>
#include <utility>

#include "server/base/strings.h"

namespace postrider::cli {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// In a record an odd number of quotes means that one is open: closed ones and doubled ones
/// come in pairs.
bool HasOddQuotes(std::string_view text) {
  return std::count(text.begin(), text.end(), '"') % 2 == 1;
}

}  // namespace

std::optional<FileLine> LineReader::Next() {
  if (!put_back_.empty()) {
    FileLine line = std::move(put_back_.front());
    put_back_.pop_front();
    return line;
  }
  FileLine line;
  std::streambuf& bytes = *in_.rdbuf();
  bool any = false;
  for (int c = bytes.sbumpc(); c != std::char_traits<char>::eof(); c = bytes.sbumpc()) {
    any = true;
    ++bytes_read_;
    if (c == '\n') break;
    if (line.text.size() < kMaxLineBytes) {
      line.text.push_back(static_cast<char>(c));
    } else {
      line.too_long = true;
    }
  }
  if (!any) return std::nullopt;
  line.number = ++number_;
  if (number_ == 1 && line.text.starts_with(kByteOrderMark)) {
    line.text.erase(0, kByteOrderMark.size());
  }
  return line;
}

std::optional<CsvRecord> CsvReader::Next() {
  std::optional<FileLine> first = lines_.Next();
  while (first.has_value() && (first->text.empty() || first->text == "\r")) first = lines_.Next();
  if (!first.has_value()) return std::nullopt;
  CsvRecord record{.line = first->number, .fields = std::vector<std::string>()};
  std::vector<FileLine> more;
  std::string text = first->text;
  bool too_long = first->too_long;
  bool open = HasOddQuotes(text);
  while (open && !too_long) {
    std::optional<FileLine> next = lines_.Next();
    if (!next.has_value()) break;
    StrAppend(text, "\n", next->text);
    open = open != HasOddQuotes(next->text);
    too_long = next->too_long || text.size() > kMaxLineBytes;
    more.push_back(*std::move(next));
  }
  if (too_long) {
    record.fields = absl::InvalidArgumentError(more.empty() ? "the line is longer than 64 KiB"
                                                            : "a quoted field is not closed");
  } else {
    if (text.ends_with('\r')) text.pop_back();
    record.fields = ParseCsvRecord(text);
  }
  if (!record.fields.ok()) {
    for (auto line = more.rbegin(); line != more.rend(); ++line) lines_.PutBack(std::move(*line));
  }
  return record;
}

absl::StatusOr<std::vector<std::string>> ParseCsvRecord(std::string_view record) {
  std::vector<std::string> fields;
  std::size_t at = 0;
  while (true) {
    std::string& field = fields.emplace_back();
    if (at < record.size() && record[at] == '"') {
      for (++at;; ++at) {
        const std::size_t quote = record.find('"', at);
        if (quote == std::string_view::npos) {
          return absl::InvalidArgumentError("a quoted field is not closed");
        }
        field += record.substr(at, quote - at);
        at = quote + 1;
        if (at >= record.size() || record[at] != '"') break;
        field.push_back('"');
      }
      if (at < record.size() && record[at] != ',') {
        return absl::InvalidArgumentError(
            StrCat("field ", fields.size(), ": text after the closing quote"));
      }
    } else {
      const std::size_t end = std::min(record.find(',', at), record.size());
      field = record.substr(at, end - at);
      if (field.find('"') != std::string::npos) {
        return absl::InvalidArgumentError(
            StrCat("field ", fields.size(), ": a quote in a field that does not begin with one"));
      }
      at = end;
    }
    if (at >= record.size()) return fields;
    ++at;  // The comma.
  }
}

}  // namespace postrider::cli
