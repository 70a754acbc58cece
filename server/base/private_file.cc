#include "server/base/private_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/strings.h"

namespace postrider {

namespace {

bool WriteAndSync(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return ::fsync(fd) == 0;
}

}  // namespace

bool SyncDirectory(const std::string& dir) {
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  errno = error;
  return synced;
}

absl::Status WritePrivateFile(const std::string& path, std::string_view text) {
  const std::size_t slash = path.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string next = StrCat(path, ".new");
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool written = fd >= 0;
  if (fd >= 0) {
    // One that a crash left may have another mode.
    written = ::fchmod(fd, 0600) == 0 && WriteAndSync(fd, text);
    ::close(fd);
  }
  if (written && ::rename(next.c_str(), path.c_str()) == 0 && SyncDirectory(dir)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(StrCat("cannot write ", path, ": ", std::strerror(errno)));
}

}  // namespace postrider
