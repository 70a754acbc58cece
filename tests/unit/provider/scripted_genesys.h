#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "gtest/gtest.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/http/guarded_server.h"

namespace postrider {

/// An HTTP server on the loopback that answers token requests, messages and reads as the test says:
/// the scripted answers first, then a new token, and 202 with an id. Safe from any thread.
class ScriptedGenesys {
 public:
  explicit ScriptedGenesys(const Clock& clock)
      : server_({.workers = 4, .response_bytes = 16 << 20}, clock, metrics_) {
    server_.Handle("POST", "/oauth/token",
                   [this](const HttpRequest& request) { return AnswerToken(request); });
    server_.Handle("POST", "/messages",
                   [this](const HttpRequest& request) { return AnswerMessage(request); });
    for (const char* method : {"GET", "POST"}) {
      server_.Handle(method, "/api/v2/.*",
                     [this](const HttpRequest& request) { return AnswerMessage(request); });
    }
    const absl::Status started = server_.Start("127.0.0.1", 0);
    EXPECT_TRUE(started.ok()) << started;
  }

  std::string base_url() const { return StrCat("http://127.0.0.1:", server_.port()); }
  std::string token_url() const { return StrCat(base_url(), "/oauth/token"); }

  void ScriptToken(HttpResponse response) {
    MutexLock lock(mu_);
    token_script_.push_back(std::move(response));
  }
  void ScriptMessage(HttpResponse response) {
    MutexLock lock(mu_);
    message_script_.push_back(std::move(response));
  }
  /// Token requests wait until OpenGate().
  void CloseGate() {
    MutexLock lock(mu_);
    open_ = false;
  }
  void OpenGate() {
    {
      MutexLock lock(mu_);
      open_ = true;
    }
    changed_.NotifyAll();
  }
  /// Waits until `count` token requests have come; false after 10 s.
  bool WaitForTokenRequests(std::size_t count) {
    MutexLock lock(mu_);
    return changed_.WaitFor(
        mu_, {}, std::chrono::seconds(10),
        [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return token_requests_.size() >= count; });
  }

  std::vector<HttpRequest> token_requests() const {
    MutexLock lock(mu_);
    return token_requests_;
  }
  std::vector<HttpRequest> messages() const {
    MutexLock lock(mu_);
    return messages_;
  }

  static HttpResponse TokenAnswer(std::string_view token, int expires_in_s) {
    return {.body = StrCat(R"({"access_token":")", token,
                           R"(","token_type":"bearer","expires_in":)", expires_in_s, "}"),
            .content_type = "application/json"};
  }

 private:
  HttpResponse AnswerToken(const HttpRequest& request) {
    {
      MutexLock lock(mu_);
      token_requests_.push_back(request);
    }
    changed_.NotifyAll();
    MutexLock lock(mu_);
    changed_.WaitFor(mu_, {}, std::chrono::seconds(10),
                     [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return open_; });
    if (token_script_.empty()) return TokenAnswer(StrCat("token-", token_requests_.size()), 86400);
    HttpResponse next = std::move(token_script_.front());
    token_script_.pop_front();
    return next;
  }

  HttpResponse AnswerMessage(const HttpRequest& request) {
    MutexLock lock(mu_);
    messages_.push_back(request);
    if (message_script_.empty())
      return {.status = 202,
              .body = StrCat(R"({"id":"msg-)", messages_.size(), R"(","conversationId":"conv-1"})"),
              .content_type = "application/json"};
    HttpResponse next = std::move(message_script_.front());
    message_script_.pop_front();
    return next;
  }

  Metrics metrics_;

  mutable Mutex mu_;
  CondVar changed_;
  std::deque<HttpResponse> token_script_ ABSL_GUARDED_BY(mu_);
  std::deque<HttpResponse> message_script_ ABSL_GUARDED_BY(mu_);
  std::vector<HttpRequest> token_requests_ ABSL_GUARDED_BY(mu_);
  std::vector<HttpRequest> messages_ ABSL_GUARDED_BY(mu_);
  bool open_ ABSL_GUARDED_BY(mu_) = true;

  GuardedServer server_;
};

}  // namespace postrider
