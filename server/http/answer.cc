#include "server/http/answer.h"

#include <string_view>
#include <utility>

#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr const char* kRetryAfterSeconds = "5";

/// Source: RFC 9110, section 15, and RFC 6585; of other statuses the class is told.
std::string_view PhraseOf(int status) {
  constexpr std::pair<int, std::string_view> kPhrases[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
  };
  for (const auto& [known, phrase] : kPhrases)
    if (known == status) return phrase;
  if (status < 300) return "Success";
  if (status < 400) return "Redirection";
  return status < 500 ? "Client Error" : "Server Error";
}

}  // namespace

std::string AnswerBytes(const HttpResponse& response, const AnswerForm& form) {
  std::string bytes = StrCat("HTTP/1.1 ", response.status, " ", PhraseOf(response.status), "\r\n");
  if (form.close) bytes += "Connection: close\r\n";
  for (const HttpHeader& line : response.headers) {
    if (IsOneLine(line.name) && IsOneLine(line.value))
      StrAppend(bytes, line.name, ": ", line.value, "\r\n");
  }
  if (!response.body.empty()) StrAppend(bytes, "Content-Type: ", response.content_type, "\r\n");
  StrAppend(bytes, "Content-Length: ", response.body.size(), "\r\n\r\n");
  if (bytes.size() + response.body.size() > form.most_bytes && response.status != 500)
    return AnswerBytes({.status = 500}, {.head = form.head, .close = form.close});
  if (!form.head) bytes += response.body;
  return bytes;
}

std::string RefusalBytes(const Refusal& refusal) {
  HttpResponse response{.status = refusal.status, .body = StrCat(refusal.text, "\n")};
  if (refusal.status == 503) response.headers.Add("Retry-After", kRetryAfterSeconds);
  return AnswerBytes(response, {.close = true});
}

}  // namespace postrider
