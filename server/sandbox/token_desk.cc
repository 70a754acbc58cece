#include "server/sandbox/token_desk.h"

#include <utility>

#include "server/base/digest.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr auto kWindow = std::chrono::minutes(1);

std::map<std::string, std::string, std::less<>> HeadersOf(
    const std::vector<SandboxClient>& clients) {
  std::map<std::string, std::string, std::less<>> headers;
  for (const SandboxClient& client : clients) {
    const std::string pair = StrCat(client.client_id, ":", client.client_secret.Reveal());
    headers.emplace(StrCat("Basic ", Base64Of(pair)), client.client_id);
  }
  return headers;
}

}  // namespace

TokenDesk::TokenDesk(std::vector<SandboxClient> clients, std::chrono::seconds life,
                     const Clock& clock, Random& random)
    : client_by_header_(HeadersOf(clients)), life_(life), clock_(clock), random_(random) {}

std::optional<std::string> TokenDesk::Authenticate(std::string_view authorization) const {
  const auto found = client_by_header_.find(authorization);
  if (found == client_by_header_.end()) return std::nullopt;
  return found->second;
}

std::string TokenDesk::Issue(const std::string& client_id) {
  std::string token = RandomToken(random_);
  MutexLock lock(mu_);
  if (oldest_first_.size() == kTokens) {
    tokens_.erase(oldest_first_.front());
    oldest_first_.pop_front();
  }
  tokens_[token] = {client_id, clock_.Now() + life_};
  oldest_first_.push_back(token);
  ++issued_;
  return token;
}

std::optional<std::string> TokenDesk::ClientOf(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  if (!authorization.starts_with(kScheme)) return std::nullopt;
  const std::string token(authorization.substr(kScheme.size()));
  MutexLock lock(mu_);
  const auto found = tokens_.find(token);
  if (found == tokens_.end() || found->second.ends_at <= clock_.Now()) return std::nullopt;
  return found->second.client_id;
}

void TokenDesk::RevokeAll() {
  MutexLock lock(mu_);
  tokens_.clear();
  oldest_first_.clear();
}

std::int64_t TokenDesk::issued() const {
  MutexLock lock(mu_);
  return issued_;
}

RateWindows::Verdict RateWindows::Count(const std::string& client_id) {
  if (per_minute_ == 0) return {};
  const MonotonicTime now = clock_.Now();
  MutexLock lock(mu_);
  Window& window = windows_[client_id];
  if (now - window.began_at >= kWindow) window = {now, 0};
  ++window.count;
  return {.allowed = window.count <= per_minute_,
          .count = window.count,
          .reset = std::chrono::ceil<std::chrono::seconds>(window.began_at + kWindow - now)};
}

}  // namespace postrider
