#include "server/sandbox/ledger.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include "absl/time/time.h"

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/json/json.h"

namespace postrider {

namespace {

bool WriteWhole(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

/// A kill in the midst of a write leaves a part of a line: the next entry begins one of its own.
bool EndLastLine(int file) {
  char last = '\n';
  const off_t size = ::lseek(file, 0, SEEK_END);
  if (size > 0 && ::pread(file, &last, 1, size - 1) != 1) return false;
  return last == '\n' || WriteWhole(file, "\n");
}

}  // namespace

std::string LedgerEntry::ToJson() const {
  JsonObject line;
  line.Set("number", number)
      .Set("at",
           absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(at), absl::UTCTimeZone()))
      .Set("client_id", client_id)
      .Set("recipient", recipient)
      .Set("sender", sender)
      .Set("message_id", message_id.IsNil() ? std::string() : message_id.ToString())
      .Set("attempt", attempt)
      .Set("processed", processed)
      .Set("http_status", http_status)
      .Set("provider_message_id", provider_message_uuid.IsNil()
                                      ? std::string()
                                      : StrCat("msg-", provider_message_uuid.ToString()));
  return line.Dump();
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(std::size_t capacity,
                                                     const std::string& file) {
  PR_CHECK(capacity >= 1);
  int descriptor = -1;
  if (!file.empty()) {
    // O_APPEND makes each write one whole line at the end, whoever else writes.
    descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor < 0 || !EndLastLine(descriptor)) {
      const int error = errno;
      if (descriptor >= 0) ::close(descriptor);
      return absl::InvalidArgumentError(
          StrCat("cannot open the ledger ", file, ": ", std::strerror(error)));
    }
  }
  return std::unique_ptr<Ledger>(new Ledger(capacity, descriptor));
}

Ledger::~Ledger() {
  if (file_ >= 0) ::close(file_);
}

void Ledger::Append(LedgerEntry entry) {
  {
    MutexLock lock(mu_);
    entry.number = ++totals_.posts;
    if (entry.processed) ++totals_.processed;
    if (entries_.size() == capacity_) entries_.pop_front();
    entries_.push_back(entry);
  }
  if (file_ < 0) return;
  if (WriteWhole(file_, entry.ToJson() + "\n")) return;
  const int error = errno;
  {
    MutexLock lock(mu_);
    if (std::exchange(file_failed_, true)) return;
  }
  PR_LOG(kError, "the sandbox ledger cannot be written", {"error", std::strerror(error)});
}

std::vector<LedgerEntry> Ledger::After(std::int64_t after, std::size_t limit) const {
  MutexLock lock(mu_);
  if (entries_.empty()) return {};
  const std::int64_t skip = std::max<std::int64_t>(0, after - entries_.front().number + 1);
  if (skip >= static_cast<std::int64_t>(entries_.size())) return {};
  const auto begin = entries_.begin() + skip;
  const auto left = static_cast<std::size_t>(entries_.end() - begin);
  return {begin, begin + static_cast<std::ptrdiff_t>(std::min(limit, left))};
}

Ledger::Totals Ledger::totals() const {
  MutexLock lock(mu_);
  return totals_;
}

}  // namespace postrider
