#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace postrider::cli {

/// A line or record longer than this is an error of that line; the file goes on behind it.
inline constexpr std::size_t kMaxLineBytes = 65536;

/// One line of a file, without its "\n". Its first line is 1.
struct FileLine {
  std::uint64_t number = 0;
  std::string text;
  bool too_long = false;  ///< `text` is its beginning.
};

/// A file line by line, in bounded memory. A UTF-8 byte order mark at the start is skipped.
class LineReader {
 public:
  /// `in` must outlive the reader.
  explicit LineReader(std::istream& in) : in_(in) {}

  /// nullopt at the end.
  std::optional<FileLine> Next();
  /// Makes `line` the next one.
  void PutBack(FileLine line) { put_back_.push_front(std::move(line)); }
  /// Read from the stream so far.
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  std::istream& in_;
  std::uint64_t number_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::deque<FileLine> put_back_;
};

/// One record of a CSV file and the line it begins at.
struct CsvRecord {
  std::uint64_t line = 0;
  absl::StatusOr<std::vector<std::string>> fields;
};

/// Records of a CSV file: comma-separated, fields that have commas, quotes or line ends in double
/// quotes, quotes inside them doubled, lines ended by LF or CRLF, empty lines skipped.
///
/// A record that breaks these rules is INVALID_ARGUMENT (what is wrong), and reading goes on at
/// the line after the one it begins at; so a quote that is never closed costs its line only.
/// Source: RFC 4180.
class CsvReader {
 public:
  /// `lines` must outlive the reader.
  explicit CsvReader(LineReader& lines) : lines_(lines) {}

  /// nullopt at the end.
  std::optional<CsvRecord> Next();

 private:
  LineReader& lines_;
};

/// The fields of one complete record, without its last line end. INVALID_ARGUMENT when a quote is
/// not closed, or stands where none may be.
absl::StatusOr<std::vector<std::string>> ParseCsvRecord(std::string_view record);

}  // namespace postrider::cli
