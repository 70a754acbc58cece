#include "client/cli/input_file.h"

#include <cerrno>
#include <cstring>
#include <sys/stat.h>

#include "server/base/strings.h"

namespace postrider::cli {

absl::StatusOr<InputFile> InputFile::Open(const std::string& path, std::istream& standard) {
  if (path == "-") return InputFile(nullptr, 0, standard);
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  struct stat facts = {};
  if (!*file || stat(path.c_str(), &facts) != 0 || S_ISDIR(facts.st_mode)) {
    const char* cause = S_ISDIR(facts.st_mode) ? "it is a directory" : std::strerror(errno);
    return absl::NotFoundError(StrCat("cannot read ", path, ": ", cause));
  }
  const std::uint64_t bytes =
      S_ISREG(facts.st_mode) ? static_cast<std::uint64_t>(facts.st_size) : 0;
  return InputFile(std::move(file), bytes, standard);
}

}  // namespace postrider::cli
