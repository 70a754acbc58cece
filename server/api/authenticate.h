#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/api/api_error.h"
#include "server/api/read_pool.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/store/tenants.h"

namespace postrider {

/// What an API token allows. NameOf: as stored, "send", "read", "operator" and "unmask". A token
/// with "operator" has no tenant, and "unmask" besides at most: to see numbers in clear.
enum class Scope { kSend, kRead, kOperator, kUnmask };
std::string_view NameOf(Scope scope);

/// Who calls: the tenant comes from the token and from nowhere else; nil for an operator.
struct Caller {
  TenantId tenant_id;
  std::string token_sha256;
  std::shared_ptr<const ApiTokenRow> token;
};

bool HasScope(const ApiTokenRow& token, Scope scope);
/// SCOPE_MISSING.
ApiError ScopeMissing(Scope scope);

/// Checks API tokens; the first thing every handler does. Tokens are kept in memory by their
/// SHA-256 for kTokenCached, unknown ones for kUnknownTokenCached, so a revoked token works for
/// that long. Never blocks; safe from any thread.
class Guard {
 public:
  using Done = std::function<void(Result<Caller>)>;

  /// All must outlive it.
  Guard(const Clock& clock, TenantStore& store, ReadPool& reads);

  /// `authorization` is the metadata of that name, "Bearer <token>"; empty when there is none.
  /// `done` is called inline for a token in memory, else later by a reading worker. Errors:
  /// TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, SCOPE_MISSING, STORE_UNAVAILABLE.
  void Check(std::string_view authorization, Scope scope, Done done);
  /// The same for a caller who was let in before: a stream's token, again.
  void CheckAgain(const std::string& token_sha256, Scope scope, Done done);

 private:
  struct Known {
    std::shared_ptr<const ApiTokenRow> token;  ///< Null: there is no such token.
    MonotonicTime until;
  };
  struct Waiting {
    Scope scope;
    Done done;
  };
  using Cache = std::unordered_map<std::string, Known>;

  void Find(std::string token_sha256);
  Result<Caller> Judge(const std::shared_ptr<const ApiTokenRow>& token, Scope scope) const;
  void Keep(Cache& cache, const std::string& token_sha256, Known known)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  TenantStore& store_;
  ReadPool& reads_;

  Mutex mu_;
  Cache known_ ABSL_GUARDED_BY(mu_);
  Cache unknown_ ABSL_GUARDED_BY(mu_);  ///< Apart, so that guesses never push out real tokens.
  /// One look-up a token, however many calls wait for it.
  std::unordered_map<std::string, std::vector<Waiting>> asked_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
