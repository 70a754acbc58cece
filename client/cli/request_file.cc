#include "client/cli/request_file.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/util/json_util.h>

#include "client/cli/fields.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::cli {

using v1::SendMessageRequest;

absl::StatusOr<std::unique_ptr<RequestFile>> RequestFile::Open(std::istream& in, FileFormat format,
                                                               SendMessageRequest defaults,
                                                               std::string run) {
  std::unique_ptr<RequestFile> file(
      new RequestFile(in, format, std::move(defaults), std::move(run)));
  if (format == FileFormat::kCsv) PR_RETURN_IF_ERROR(file->ReadHeader());
  return file;
}

RequestFile::RequestFile(std::istream& in, FileFormat format, SendMessageRequest defaults,
                         std::string run)
    : format_(format),
      defaults_(std::move(defaults)),
      lines_(in),
      csv_(lines_),
      ids_(std::move(run)) {}

absl::Status RequestFile::ReadHeader() {
  std::optional<CsvRecord> header = csv_.Next();
  if (!header.has_value()) {
    return absl::InvalidArgumentError("the file is empty: its first line must name the columns");
  }
  PR_ASSIGN_OR_RETURN(columns_, std::move(header->fields));
  const auto has = [this](std::string_view name) {
    return std::find(columns_.begin(), columns_.end(), name) != columns_.end();
  };
  for (auto column = columns_.begin(); column != columns_.end(); ++column) {
    if (!IsFieldName(*column)) {
      return absl::InvalidArgumentError(
          StrCat("column '", *column, "' is not a field; there are ", kFieldNames));
    }
    if (std::find(columns_.begin(), column, *column) != column) {
      return absl::InvalidArgumentError(StrCat("column '", *column, "' is there twice"));
    }
  }
  if (!has("recipient")) return absl::InvalidArgumentError("there is no column 'recipient'");
  if (!has("text") && !has("template") && !defaults_.has_template_()) {
    return absl::InvalidArgumentError(
        "there is no column 'text': add it, or 'template', or give --template");
  }
  if (!has("sender") && defaults_.sender().empty()) {
    return absl::InvalidArgumentError(
        "there is no column 'sender': add it, or give --from or POSTRIDER_SENDER");
  }
  return absl::OkStatus();
}

std::optional<FileRequest> RequestFile::Next() {
  if (format_ == FileFormat::kCsv) {
    std::optional<CsvRecord> record = csv_.Next();
    if (!record.has_value()) return std::nullopt;
    if (!record->fields.ok()) return FileRequest{record->line, record->fields.status()};
    return FileRequest{record->line, WithId(FromCells(*record->fields))};
  }
  while (std::optional<FileLine> line = lines_.Next()) {
    if (line->text.find_first_not_of(" \t\r") == std::string::npos) continue;
    return FileRequest{line->number, WithId(FromJson(*line))};
  }
  return std::nullopt;
}

absl::StatusOr<SendMessageRequest> RequestFile::FromCells(
    const std::vector<std::string>& cells) const {
  if (cells.size() != columns_.size()) {
    return absl::InvalidArgumentError(
        StrCat("has ", cells.size(), " fields, the header row has ", columns_.size()));
  }
  SendMessageRequest request = defaults_;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    PR_RETURN_IF_ERROR(SetField(request, columns_[i], cells[i]));
  }
  return request;
}

absl::StatusOr<SendMessageRequest> RequestFile::FromJson(const FileLine& line) const {
  if (line.too_long) return absl::InvalidArgumentError("the line is longer than 64 KiB");
  if (const auto bad = FirstBadByte(line.text); bad.has_value()) {
    return absl::InvalidArgumentError(StrCat("byte ", *bad + 1, " is not UTF-8, or a NUL"));
  }
  SendMessageRequest own;
  const auto parsed = google::protobuf::util::JsonStringToMessage(line.text, &own);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        StrCat("not a SendMessageRequest in JSON: ", parsed.message().ToString()));
  }
  SendMessageRequest request = defaults_;
  request.MergeFrom(own);
  return request;
}

absl::StatusOr<SendMessageRequest> RequestFile::WithId(absl::StatusOr<SendMessageRequest> request) {
  if (!request.ok() || !request->request_id().empty()) return request;
  std::optional<std::string> id = ids_.NextOf(*request);
  if (!id.has_value()) {
    return absl::InvalidArgumentError(
        StrCat("more than ", DerivedIds::kMaxLines,
               " different lines without request_id: split the file"));
  }
  request->set_request_id(*std::move(id));
  return request;
}

}  // namespace postrider::cli
