#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/secret.h"

namespace postrider {

/// A pair that may ask the sandbox for tokens.
struct SandboxClient {
  std::string client_id;
  Secret client_secret;
};

/// Gives out access tokens and knows whose they are. The newest kTokens are remembered; an older
/// one is refused as if it had ended. Safe from any thread.
class TokenDesk {
 public:
  static constexpr std::size_t kTokens = 10000;

  /// `life`: of a token. `clock` and `random` must outlive the desk.
  TokenDesk(std::vector<SandboxClient> clients, std::chrono::seconds life, const Clock& clock,
            Random& random);

  /// The client whose id and secret the header "Basic ..." carries; nothing when it is unknown.
  std::optional<std::string> Authenticate(std::string_view authorization) const;
  /// A new token of `client_id`.
  std::string Issue(const std::string& client_id);
  /// The client of the token that the header "Bearer ..." carries; nothing when it is not good.
  std::optional<std::string> ClientOf(std::string_view authorization) const;
  /// Makes every token that was given out until now worthless.
  void RevokeAll();

  std::int64_t issued() const;

 private:
  struct Token {
    std::string client_id;
    MonotonicTime ends_at;
  };

  const std::map<std::string, std::string, std::less<>> client_by_header_;
  const std::chrono::seconds life_;
  const Clock& clock_;
  Random& random_;

  mutable Mutex mu_;
  std::unordered_map<std::string, Token> tokens_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> oldest_first_ ABSL_GUARDED_BY(mu_);
  std::int64_t issued_ ABSL_GUARDED_BY(mu_) = 0;
};

/// Counts requests of each client in fixed windows of a minute, as Genesys does.
/// Safe from any thread.
class RateWindows {
 public:
  /// `per_minute` 0: no limit. `clock` must outlive this.
  RateWindows(int per_minute, const Clock& clock) : per_minute_(per_minute), clock_(clock) {}

  struct Verdict {
    bool allowed = true;
    int count = 0;                  ///< Requests in this window, this one included.
    std::chrono::seconds reset{0};  ///< Until the next window, rounded up.
  };
  /// Counts one request of `client_id`, refused or not.
  Verdict Count(const std::string& client_id);

  int per_minute() const { return per_minute_; }

 private:
  struct Window {
    MonotonicTime began_at{};
    int count = 0;
  };

  const int per_minute_;
  const Clock& clock_;

  Mutex mu_;
  std::map<std::string, Window> windows_ ABSL_GUARDED_BY(mu_);  ///< One a configured client.
};

}  // namespace postrider
