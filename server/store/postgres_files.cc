#include "server/store/postgres_files.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <system_error>

#include "server/base/strings.h"
#include "server/store/child_process.h"

namespace postrider {

namespace fs = std::filesystem;

namespace {

constexpr auto kQuestionTimeout = std::chrono::seconds(10);

bool HasPrograms(const fs::path& dir) {
  std::error_code ignored;
  return fs::exists(dir / "postgres", ignored) && fs::exists(dir / "initdb", ignored);
}

/// 15 of "postgres (PostgreSQL) 15.20 (Debian ...)"; 0 when it is something else.
int MajorIn(std::string_view version) {
  constexpr std::string_view kBefore = "(PostgreSQL) ";
  const std::size_t at = version.find(kBefore);
  return at == version.npos ? 0 : std::atoi(version.data() + at + kBefore.size());
}

int MajorOfPrograms(const fs::path& dir) {
  const auto version = RunProgram({.arguments = {dir / "postgres", "--version"}}, kQuestionTimeout);
  return version.ok() ? MajorIn(*version) : 0;
}

/// Debian's place for them, newest first.
std::vector<fs::path> VersionedDirs() {
  std::map<int, fs::path, std::greater<>> by_version;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    by_version[std::atoi(entry.path().filename().c_str())] = entry.path() / "bin";
  }
  std::vector<fs::path> dirs;
  for (const auto& [version, dir] : by_version) dirs.push_back(dir);
  return dirs;
}

std::string FirstLine(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

}  // namespace

absl::StatusOr<fs::path> FindPostgresPrograms(int major) {
  std::vector<fs::path> dirs = VersionedDirs();
  auto configured = RunProgram({.arguments = {"pg_config", "--bindir"}}, kQuestionTimeout);
  if (configured.ok()) dirs.insert(dirs.begin(), configured->substr(0, configured->find('\n')));
  std::string found;
  for (const fs::path& dir : dirs) {
    if (!HasPrograms(dir)) continue;
    const int version = MajorOfPrograms(dir);
    if (major == 0 || version == major) return dir;
    StrAppend(found, found.empty() ? "" : ", ", version);
  }
  if (!found.empty()) {
    return absl::FailedPreconditionError(
        StrCat("the data is of PostgreSQL ", major, ", but installed is ", found,
               ": install postgresql-", major, ", or convert the data by pg_upgrade"));
  }
  return absl::FailedPreconditionError(
      "no PostgreSQL server is installed: install the package postgresql, or give a database by "
      "--database-url");
}

int MajorVersionOf(const fs::path& data_dir) {
  return std::atoi(FirstLine(data_dir / "PG_VERSION").c_str());
}

pid_t NamedServerOf(const fs::path& data_dir) {
  return std::atoi(FirstLine(data_dir / "postmaster.pid").c_str());
}

std::vector<pid_t> ProcessesIn(const fs::path& data_dir) {
  std::vector<pid_t> pids;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    // A shell may stand there too; only the server's own processes count.
    const fs::path program = fs::read_symlink(entry.path() / "exe", error);
    if (error || !program.filename().string().starts_with("postgres")) continue;
    if (fs::read_symlink(entry.path() / "cwd", error) == data_dir && !error) pids.push_back(pid);
  }
  return pids;
}

std::string_view PostgresSettings() {
  // For two cores and a few GiB. Durability is never traded: fsync, full_page_writes and
  // synchronous_commit stay on.
  return R"(
# --- Postrider's settings. Change them as you like: this file is written once.
shared_buffers = 128MB
max_connections = 100
jit = off                           # our statements are short
random_page_cost = 1.1              # an SSD
fsync = on
synchronous_commit = on
wal_compression = lz4
max_wal_size = 2GB                  # checkpoints by time, not by volume
checkpoint_timeout = 15min
autovacuum_naptime = 15s            # the queue's rows live for seconds
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05
log_line_prefix = '%m [%p] %q%a '
log_timezone = 'UTC'
timezone = 'UTC'
)";
}

std::string FatalErrorIn(const fs::path& log_file, std::uintmax_t begin) {
  std::ifstream log(log_file);
  log.seekg(static_cast<std::streamoff>(begin));
  std::string fatal;
  for (std::string line; std::getline(log, line);) {
    if (fatal.empty()) {
      const std::size_t at = std::min(line.find("FATAL:"), line.find("PANIC:"));
      if (at != line.npos) fatal = line.substr(at);
    } else {
      const std::size_t at = line.find("DETAIL:");
      if (at != line.npos) StrAppend(fatal, " ", line.substr(at));
      break;
    }
  }
  return fatal;
}

}  // namespace postrider
