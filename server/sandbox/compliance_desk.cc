#include "server/sandbox/compliance_desk.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"

#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/sandbox/posts.h"

namespace postrider {

namespace {

bool HasWord(const std::string& text, const std::string& word) {
  if (word.empty()) return false;
  return std::search(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
           const auto lower = [](char c) {
             return absl::ascii_tolower(static_cast<unsigned char>(c));
           };
           return lower(a) == lower(b);
         }) != text.end();
}

HttpResponse JsonAnswer(int status, std::string body) {
  return {.status = status, .body = std::move(body), .content_type = "application/json"};
}

}  // namespace

HttpResponse ComplianceDesk::Answer(const std::string& body) {
  HttpResponse response = AnswerTo(body);
  metrics_
      .CounterOf("postrider_sandbox_checks_total", "Texts that the sandbox was asked about",
                 {{"status", StrCat(response.status)}})
      .Add();
  return response;
}

HttpResponse ComplianceDesk::AnswerTo(const std::string& body) const {
  if (!on_) {
    const SandboxRefusal away{503, "service.unavailable", "Service unavailable", ""};
    return JsonAnswer(away.http_status, away.ToJson(""));
  }
  const absl::StatusOr<Json> asked = ParseJson(body);
  const std::optional<std::string> text = asked.ok() ? asked->GetString("message") : std::nullopt;
  if (!text) {
    const SandboxRefusal bad{400, "bad.request", "message is required", ""};
    return JsonAnswer(bad.http_status, bad.ToJson(""));
  }
  JsonObject verdict;
  const bool found = HasWord(*text, refused_word_);
  verdict.Set("compliant", !found);
  if (found) {
    JsonObject violation;
    violation.Set("rule", "refused_word").Set("message", StrCat("says \"", refused_word_, "\""));
    JsonArray violations;
    violations.Add(violation);
    verdict.Set("violations", violations);
  }
  return JsonAnswer(200, verdict.Dump());
}

}  // namespace postrider
