#include "client/cli/consent_file.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/util/time_util.h>

#include "client/cli/fields.h"
#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::cli {

namespace {

constexpr const char* kColumns[] = {"recipient", "change", "sender", "said_at", "evidence"};

absl::Status SetCell(v1::Consent& consent, const std::string& column, const std::string& cell) {
  if (FirstBadByte(cell)) return absl::InvalidArgumentError(StrCat(column, ": is not UTF-8"));
  if (column == "recipient") {
    consent.set_recipient(cell);
  } else if (column == "sender") {
    consent.set_sender(cell);
  } else if (column == "evidence") {
    consent.set_evidence(cell);
  } else if (column == "said_at") {
    if (cell.empty()) return absl::OkStatus();
    if (!google::protobuf::util::TimeUtil::FromString(cell, consent.mutable_said_at())) {
      return absl::InvalidArgumentError(
          StrCat("said_at: '", cell, "' is no time; write it as 2026-03-01T09:00:00Z"));
    }
  } else if (cell == "opt-in") {
    consent.set_change(v1::CONSENT_CHANGE_OPT_IN);
  } else if (!cell.empty() && cell != "opt-out") {
    return absl::InvalidArgumentError(StrCat("change: '", cell, "' must be opt-out or opt-in"));
  }
  return absl::OkStatus();
}

absl::Status AtLine(std::uint64_t line, const absl::Status& status) {
  return absl::InvalidArgumentError(StrCat("line ", line, ": ", ToStd(status.message())));
}

}  // namespace

absl::Status ConsentFile::ReadHeader() {
  std::optional<CsvRecord> header = csv_.Next();
  if (!header.has_value()) {
    return absl::InvalidArgumentError("the file is empty: its first line must name the columns");
  }
  PR_ASSIGN_OR_RETURN(columns_, std::move(header->fields));
  for (auto column = columns_.begin(); column != columns_.end(); ++column) {
    if (std::find(std::begin(kColumns), std::end(kColumns), *column) == std::end(kColumns)) {
      return absl::InvalidArgumentError(StrCat(
          "column '", *column, "' is none of these: recipient, change, sender, said_at, evidence"));
    }
    if (std::find(columns_.begin(), column, *column) != column) {
      return absl::InvalidArgumentError(StrCat("column '", *column, "' is there twice"));
    }
  }
  if (std::find(columns_.begin(), columns_.end(), "recipient") == columns_.end()) {
    return absl::InvalidArgumentError("there is no column 'recipient'");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Consent>> ConsentFile::Next(std::size_t most) {
  std::vector<v1::Consent> consents;
  lines_of_.clear();
  while (consents.size() < most) {
    const std::optional<CsvRecord> record = csv_.Next();
    if (!record.has_value()) break;
    if (!record->fields.ok()) return AtLine(record->line, record->fields.status());
    absl::StatusOr<v1::Consent> consent = Read(*record->fields);
    if (!consent.ok()) return AtLine(record->line, consent.status());
    consents.push_back(*std::move(consent));
    lines_of_.push_back(record->line);
  }
  return consents;
}

absl::StatusOr<v1::Consent> ConsentFile::Read(const std::vector<std::string>& cells) const {
  if (cells.size() != columns_.size()) {
    return absl::InvalidArgumentError(
        StrCat("has ", cells.size(), " fields, the header row has ", columns_.size()));
  }
  v1::Consent consent;
  consent.set_change(v1::CONSENT_CHANGE_OPT_OUT);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    PR_RETURN_IF_ERROR(SetCell(consent, columns_[i], cells[i]));
  }
  return consent;
}

std::string ImportIdOf(const std::vector<v1::Consent>& consents) {
  std::string all;
  for (const v1::Consent& consent : consents) {
    StrAppend(all, consent.recipient(), ",", consent.sender(), ",",
              static_cast<int>(consent.change()), ",", consent.said_at().seconds(), ".",
              consent.said_at().nanos(), ",", consent.evidence(), "\n");
  }
  return StrCat("import-", HexOf(Sha256Bytes(all)).substr(0, 40));
}

}  // namespace postrider::cli
