#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "client/cli/csv.h"
#include "postrider/v1/admin_service.pb.h"

namespace postrider::cli {

/// Opt-outs and opt-ins from a CSV file. Its first line names the columns: recipient (needed),
/// change ("opt-out", which is what an empty one means, or "opt-in"), sender, said_at (RFC 3339),
/// evidence. Not thread safe.
class ConsentFile {
 public:
  /// `in` must outlive it. Call ReadHeader first.
  explicit ConsentFile(std::istream& in) : lines_(in), csv_(lines_) {}

  /// INVALID_ARGUMENT when the columns are not such.
  absl::Status ReadHeader();
  /// The next up to `most`, in order; none at the end. INVALID_ARGUMENT, "line N: what is wrong":
  /// then nothing of these was good.
  absl::StatusOr<std::vector<v1::Consent>> Next(std::size_t most);
  /// The line of each of those that Next gave last.
  const std::vector<std::uint64_t>& lines() const { return lines_of_; }

 private:
  absl::StatusOr<v1::Consent> Read(const std::vector<std::string>& cells) const;

  LineReader lines_;
  CsvReader csv_;
  std::vector<std::string> columns_;
  std::vector<std::uint64_t> lines_of_;
};

/// The same for the same consents of the same file, so that a file that is imported again is
/// recorded once: "import-" and 40 hexadecimal digits of the SHA-256 of them.
std::string ImportIdOf(const std::vector<v1::Consent>& consents);

}  // namespace postrider::cli
