#include "server/api/authenticate.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr std::string_view kScheme = "bearer ";

ApiError Refusal(absl::StatusCode code, std::string reason, std::string message) {
  ApiError error;
  error.code = code;
  error.reason = std::move(reason);
  error.message = std::move(message);
  return error;
}

ApiError TokenInvalid() {
  return Refusal(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID",
                 "the API token is unknown or was revoked");
}

bool HasScheme(std::string_view authorization) {
  if (authorization.size() < kScheme.size()) return false;
  return std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char a, char b) {
    return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
  });
}

}  // namespace

std::string_view NameOf(Scope scope) {
  switch (scope) {
    case Scope::kSend:
      return "send";
    case Scope::kRead:
      return "read";
    case Scope::kOperator:
      return "operator";
    case Scope::kUnmask:
      return "unmask";
  }
  return "";
}

bool HasScope(const ApiTokenRow& token, Scope scope) {
  return std::find(token.scopes.begin(), token.scopes.end(), NameOf(scope)) != token.scopes.end();
}

ApiError ScopeMissing(Scope scope) {
  ApiError error = Refusal(absl::StatusCode::kPermissionDenied, "SCOPE_MISSING",
                           StrCat("the API token does not have the scope \"", NameOf(scope), "\""));
  error.metadata["scope"] = NameOf(scope);
  return error;
}

Guard::Guard(const Clock& clock, TenantStore& store, ReadPool& reads)
    : clock_(clock), store_(store), reads_(reads) {}

void Guard::Check(std::string_view authorization, Scope scope, Done done) {
  if (authorization.empty()) {
    return done(Refusal(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING",
                        "the call carries no API token: add the metadata \"authorization: Bearer "
                        "<token>\""));
  }
  if (!HasScheme(authorization) || authorization.size() > kScheme.size() + kMaxApiTokenBytes) {
    return done(TokenInvalid());
  }
  CheckAgain(Sha256Bytes(authorization.substr(kScheme.size())), scope, std::move(done));
}

void Guard::CheckAgain(const std::string& token_sha256, Scope scope, Done done) {
  std::shared_ptr<const ApiTokenRow> token;
  bool first = false;
  {
    MutexLock lock(mu_);
    const MonotonicTime now = clock_.Now();
    const auto known = known_.find(token_sha256);
    const auto unknown = unknown_.find(token_sha256);
    if (known != known_.end() && now < known->second.until) {
      token = known->second.token;
    } else if (unknown == unknown_.end() || now >= unknown->second.until) {
      std::vector<Waiting>& waiting = asked_[token_sha256];
      first = waiting.empty();
      waiting.push_back({scope, std::move(done)});
      if (!first) return;
    }
  }
  if (!first) return done(Judge(token, scope));
  if (reads_.TrySubmit([this, token_sha256] { Find(token_sha256); })) return;

  std::vector<Waiting> refused;
  {
    MutexLock lock(mu_);
    refused = std::move(asked_[token_sha256]);
    asked_.erase(token_sha256);
  }
  for (Waiting& waiting : refused) waiting.done(StoreUnavailable());
}

void Guard::Find(std::string token_sha256) {
  absl::StatusOr<ApiTokenRow> found = store_.FindToken(token_sha256);
  std::shared_ptr<const ApiTokenRow> token;
  std::optional<ApiError> failure;
  if (found.ok()) {
    token = std::make_shared<const ApiTokenRow>(*std::move(found));
  } else if (!absl::IsNotFound(found.status())) {
    failure = ErrorOfStore(found.status());
  }
  std::vector<Waiting> answered;
  {
    MutexLock lock(mu_);
    answered = std::move(asked_[token_sha256]);
    asked_.erase(token_sha256);
    if (token) {
      Keep(known_, token_sha256, {token, clock_.Now() + kTokenCached});
    } else if (!failure) {
      known_.erase(token_sha256);
      Keep(unknown_, token_sha256, {nullptr, clock_.Now() + kUnknownTokenCached});
    }
  }
  for (Waiting& waiting : answered) {
    waiting.done(failure ? Result<Caller>(*failure) : Judge(token, waiting.scope));
  }
}

Result<Caller> Guard::Judge(const std::shared_ptr<const ApiTokenRow>& token, Scope scope) const {
  if (!token || token->revoked) return TokenInvalid();
  if (token->expires_at != WallTime{} && token->expires_at <= clock_.Wall()) {
    return Refusal(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED",
                   "the API token has expired");
  }
  if (!HasScope(*token, scope)) return ScopeMissing(scope);
  return Caller{token->tenant_id, token->token_sha256, token};
}

void Guard::Keep(Cache& cache, const std::string& token_sha256, Known known) {
  // Emptying is cheap on the average, whatever is thrown at it; looking for expired ones is not.
  if (cache.size() >= kMaxCachedTokens) cache.clear();
  cache.insert_or_assign(token_sha256, std::move(known));
}

}  // namespace postrider
