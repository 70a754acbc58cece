#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/cli/csv.h"
#include "client/cli/derived_id.h"
#include "postrider/v1/message_service.pb.h"

namespace postrider::cli {

enum class FileFormat { kCsv, kJsonl };

/// One line of a file as a request, with its request_id; or why it is none.
struct FileRequest {
  std::uint64_t line = 0;
  absl::StatusOr<v1::SendMessageRequest> request;  ///< INVALID_ARGUMENT, for people.
};

/// The requests in a file, one after the other, in bounded memory.
///
/// CSV: a header row names the columns as the request's fields (fields.h); an empty cell means
/// "not set". JSONL: each line is a SendMessageRequest in proto JSON. What a line does not set
/// comes from the defaults. A line without request_id gets a derived one (derived_id.h).
/// A line that is none costs only itself.
class RequestFile {
 public:
  /// `in` must outlive the file. INVALID_ARGUMENT when the header row is missing, names an
  /// unknown column or one twice, or lacks one that every line needs (recipient, text, and sender
  /// without a default).
  static absl::StatusOr<std::unique_ptr<RequestFile>> Open(std::istream& in, FileFormat format,
                                                           v1::SendMessageRequest defaults,
                                                           std::string run);

  /// nullopt at the end.
  std::optional<FileRequest> Next();
  std::uint64_t bytes_read() const { return lines_.bytes_read(); }

 private:
  RequestFile(std::istream& in, FileFormat format, v1::SendMessageRequest defaults,
              std::string run);
  absl::Status ReadHeader();
  absl::StatusOr<v1::SendMessageRequest> FromCells(const std::vector<std::string>& cells) const;
  absl::StatusOr<v1::SendMessageRequest> FromJson(const FileLine& line) const;
  absl::StatusOr<v1::SendMessageRequest> WithId(absl::StatusOr<v1::SendMessageRequest> request);

  const FileFormat format_;
  const v1::SendMessageRequest defaults_;
  LineReader lines_;
  CsvReader csv_;
  std::vector<std::string> columns_;  ///< Of a CSV file.
  DerivedIds ids_;
};

}  // namespace postrider::cli
