#pragma once

#include <cstdint>
#include <fstream>
#include <istream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace postrider::cli {

/// A file that a command reads, or stdin.
class InputFile {
 public:
  /// `path` "-": reads `standard`, which must outlive this. NOT_FOUND "cannot read PATH: why", also
  /// for a directory.
  static absl::StatusOr<InputFile> Open(const std::string& path, std::istream& standard);

  std::istream& stream() { return file_ != nullptr ? *file_ : standard_; }
  /// How long it is; 0 when that is not known, as of stdin and of pipes.
  std::uint64_t bytes() const { return bytes_; }

 private:
  InputFile(std::unique_ptr<std::ifstream> file, std::uint64_t bytes, std::istream& standard)
      : file_(std::move(file)), bytes_(bytes), standard_(standard) {}

  std::unique_ptr<std::ifstream> file_;  ///< Null: stdin.
  std::uint64_t bytes_ = 0;
  std::istream& standard_;
};

}  // namespace postrider::cli
