#include "server/webhook/spool.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "absl/strings/str_format.h"

#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/base/private_file.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/intake_limits.h"
#include "server/webhook/spool_records.h"

namespace postrider {

namespace {

constexpr std::string_view kSuffix = ".spool";
/// Read at once: more than the largest row.
constexpr std::size_t kChunk = 512 * 1024;
static_assert(kChunk > 2 * kMaxWebhookBytes);

std::string Problem(std::string_view what, const std::string& path) {
  return StrCat(what, " ", path, ": ", std::strerror(errno));
}

/// The number of a file of ours; 0: it is none.
std::uint64_t NumberOf(const std::string& name) {
  if (!name.ends_with(kSuffix)) return 0;
  std::uint64_t number = 0;
  const char* const end = name.data() + name.size() - kSuffix.size();
  const auto [at, error] = std::from_chars(name.data(), end, number);
  return error == std::errc() && at == end ? number : 0;
}

/// Up to `most` bytes at `offset`; fewer at the file's end. Nothing when it cannot be read.
std::optional<std::string> ReadAt(const std::string& path, std::uint64_t offset, std::size_t most) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string bytes(most, '\0');
  std::size_t got = 0;
  while (got < most) {
    const ssize_t n = ::pread(fd, bytes.data() + got, most - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += static_cast<std::size_t>(n);
  }
  ::close(fd);
  bytes.resize(got);
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(Options options, Metrics& metrics) {
  std::unique_ptr<Spool> spool(new Spool(std::move(options), metrics));
  PR_RETURN_IF_ERROR(spool->Recover());
  return spool;
}

Spool::Spool(Options options, Metrics& metrics)
    : options_(std::move(options)),
      rows_shown_(metrics.GaugeOf("postrider_spool_rows",
                                  "Webhooks on this machine's disk that wait for the database.")),
      bytes_shown_(metrics.GaugeOf("postrider_spool_bytes", "What they take there.")),
      spooled_(metrics.CounterOf("postrider_spooled_total",
                                 "Webhooks that were kept on disk, not in the database at first.")),
      failures_(metrics.CounterOf("postrider_spool_failures_total",
                                  "Webhooks that the disk did not take, or that found it full.")),
      unreadable_(metrics.CounterOf("postrider_spool_unreadable_total",
                                    "Files of the spool that could not be read any more.")) {}

Spool::~Spool() {
  if (fd_ >= 0) ::close(fd_);
}

std::string Spool::PathOf(std::uint64_t number) const {
  return absl::StrFormat("%s/%012d%s", options_.dir, number, kSuffix.data());
}

absl::Status Spool::Recover() {
  if (::mkdir(options_.dir.c_str(), 0700) != 0 && errno != EEXIST)
    return absl::FailedPreconditionError(Problem("cannot make", options_.dir));
  std::error_code failed;
  std::vector<std::uint64_t> numbers;
  for (const auto& entry : std::filesystem::directory_iterator(options_.dir, failed)) {
    if (const std::uint64_t number = NumberOf(entry.path().filename().string()); number > 0)
      numbers.push_back(number);
  }
  if (failed)
    return absl::FailedPreconditionError(
        StrCat("cannot read ", options_.dir, ": ", failed.message()));
  std::sort(numbers.begin(), numbers.end());
  MutexLock lock(mu_);
  for (const std::uint64_t number : numbers) {
    last_number_ = number;
    const auto size = std::filesystem::file_size(PathOf(number), failed);
    if (failed) continue;
    const std::optional<std::string> bytes = ReadAt(PathOf(number), 0, size);
    File file{.number = number, .bytes = kSpoolMark.size(), .rows = 0};
    if (bytes && bytes->starts_with(kSpoolMark)) {
      while (const auto record = ReadSpoolRecord(std::string_view(*bytes).substr(file.bytes))) {
        file.bytes += record->bytes;
        ++file.rows;
      }
    }
    if (file.rows == 0) {
      ::unlink(PathOf(number).c_str());
      continue;
    }
    bytes_ += file.bytes;
    files_.push_back(file);
  }
  offset_ = kSpoolMark.size();
  Show();
  return absl::OkStatus();
}

absl::Status Spool::Append(std::span<const InboxRow> rows) {
  std::string bytes;
  for (const InboxRow& row : rows) AppendSpoolRecord(bytes, row);
  bool begin = false;
  {
    MutexLock lock(mu_);
    if (bytes_ + bytes.size() > options_.max_bytes) {
      failures_.Add(static_cast<double>(rows.size()));
      return absl::ResourceExhaustedError(
          StrCat("the spool has ", bytes_, " bytes of ", options_.max_bytes));
    }
    begin = open_ == 0 || files_.back().bytes >= options_.file_bytes;
    writing_ = true;
  }
  absl::Status written = begin ? BeginFile() : absl::OkStatus();
  if (written.ok()) written = Write(bytes);
  MutexLock lock(mu_);
  writing_ = false;
  if (!written.ok()) {
    // What is half there is not read, and nothing more is written behind it.
    open_ = 0;
    failures_.Add(static_cast<double>(rows.size()));
    return written;
  }
  files_.back().bytes += bytes.size();
  files_.back().rows += rows.size();
  bytes_ += bytes.size();
  spooled_.Add(static_cast<double>(rows.size()));
  Show();
  return absl::OkStatus();
}

absl::Status Spool::BeginFile() {
  if (fd_ >= 0) ::close(fd_);
  const std::string path = PathOf(++last_number_);
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0) return absl::UnavailableError(Problem("cannot make", path));
  PR_RETURN_IF_ERROR(Write(std::string(kSpoolMark)));
  if (!SyncDirectory(options_.dir))
    return absl::UnavailableError(Problem("cannot sync", options_.dir));
  MutexLock lock(mu_);
  files_.push_back({.number = last_number_, .bytes = kSpoolMark.size(), .rows = 0});
  bytes_ += kSpoolMark.size();
  open_ = last_number_;
  return absl::OkStatus();
}

absl::Status Spool::Write(const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::UnavailableError(Problem("cannot write to", options_.dir));
    done += static_cast<std::size_t>(n);
  }
  if (Mutated(Mutant::kSpoolUnsynced)) return absl::OkStatus();
  if (::fdatasync(fd_) != 0) return absl::UnavailableError(Problem("cannot sync", options_.dir));
  return absl::OkStatus();
}

std::vector<InboxRow> Spool::Oldest(std::size_t limit) {
  std::vector<InboxRow> rows;
  given_rows_ = 0;
  given_bytes_ = 0;
  RemoveDone();
  File oldest;
  {
    MutexLock lock(mu_);
    if (files_.empty() || files_.front().bytes <= offset_) return rows;
    oldest = files_.front();
  }
  const auto most = std::min<std::uint64_t>(oldest.bytes - offset_, kChunk);
  const std::optional<std::string> bytes =
      ReadAt(PathOf(oldest.number), offset_, static_cast<std::size_t>(most));
  while (bytes && rows.size() < limit) {
    auto record = ReadSpoolRecord(std::string_view(*bytes).substr(given_bytes_));
    if (!record) break;
    given_bytes_ += record->bytes;
    rows.push_back(std::move(record->row));
  }
  given_rows_ = rows.size();
  if (rows.empty()) PutAside(oldest);
  return rows;
}

void Spool::Forget() {
  {
    MutexLock lock(mu_);
    offset_ += std::exchange(given_bytes_, 0);
    forgotten_ += std::exchange(given_rows_, 0);
    Show();
  }
  RemoveDone();
}

void Spool::RemoveDone() {
  while (true) {
    std::uint64_t done = 0;
    {
      MutexLock lock(mu_);
      if (files_.empty() || files_.front().bytes > offset_) return;
      done = files_.front().number;
      if (done == open_ && writing_) return;
      DropOldest();
    }
    ::unlink(PathOf(done).c_str());
  }
}

void Spool::DropOldest() {
  const File& oldest = files_.front();
  if (oldest.number == open_) open_ = 0;
  bytes_ -= oldest.bytes;
  files_.pop_front();
  forgotten_ = 0;
  offset_ = kSpoolMark.size();
  Show();
}

void Spool::PutAside(const File& file) {
  const std::string path = PathOf(file.number);
  ::rename(path.c_str(), (path + ".unreadable").c_str());
  unreadable_.Add();
  PR_LOG(kError, "a file of the spool cannot be read any more", {"file", path + ".unreadable"},
         {"rows_lost", file.rows});
  MutexLock lock(mu_);
  DropOldest();
}

std::size_t Spool::size() const {
  MutexLock lock(mu_);
  std::size_t rows = 0;
  for (const File& file : files_) rows += file.rows;
  return rows - forgotten_;
}

void Spool::Show() {
  std::size_t rows = 0;
  for (const File& file : files_) rows += file.rows;
  rows_shown_.Set(static_cast<double>(rows - forgotten_));
  bytes_shown_.Set(static_cast<double>(bytes_));
}

}  // namespace postrider
