#include "server/http/router.h"

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace postrider {
namespace {

constexpr std::size_t kResponseBytes = 100'000;

HttpRouter::Reply Ask(HttpHandler handler, const std::string& target,
                      HttpRequest request = {.method = "GET"}, const std::string& pattern = "/.*") {
  HttpRouter router(
      {{request.method == "HEAD" ? "GET" : request.method, pattern, std::move(handler)}},
      kResponseBytes);
  return router.Answer(target, std::move(request), /*close=*/false);
}

TEST(RouterTest, AHandlerSeesTheRequestDecodedAndItsBodyRaw) {
  HttpRequest seen;
  HttpRequest request{
      .method = "POST",
      .headers = {{"Content-Type", "multipart/form-data; boundary=x"}, {"REMOTE_ADDR", "6.6.6.6"}},
      .body = "--x not a form",
      .remote_address = "127.0.0.1"};
  Ask(
      [&seen](const HttpRequest& r) {
        seen = r;
        return HttpResponse{};
      },
      "/hook/t%C3%A9n?a=1%202&b=&a=3", request, "/hook/([^/]+)");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.path, "/hook/tén");
  EXPECT_EQ(seen.captures, std::vector<std::string>{"tén"});
  EXPECT_EQ(seen.query, (std::map<std::string, std::string>{{"a", "1 2"}, {"b", ""}}));
  EXPECT_EQ(seen.body, "--x not a form");
  EXPECT_EQ(seen.headers.Get("content-type"), "multipart/form-data; boundary=x");
  EXPECT_EQ(seen.remote_address, "127.0.0.1");
  EXPECT_EQ(seen.headers.size(), 2u);
}

TEST(RouterTest, AnAnswerIsWrittenWithItsHeadersAndLength) {
  const auto reply = Ask(
      [](const HttpRequest&) {
        return HttpResponse{.status = 429,
                            .body = "{}",
                            .content_type = "application/json",
                            .headers = {{"Retry-After", "7"}, {"Bad", "a\r\nInjected: b"}}};
      },
      "/");
  EXPECT_FALSE(reply.close);
  EXPECT_TRUE(reply.bytes.starts_with("HTTP/1.1 429 Too Many Requests\r\n")) << reply.bytes;
  EXPECT_NE(reply.bytes.find("Retry-After: 7\r\n"), std::string::npos);
  EXPECT_NE(reply.bytes.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_NE(reply.bytes.find("Content-Length: 2\r\n"), std::string::npos);
  EXPECT_TRUE(reply.bytes.ends_with("\r\n\r\n{}"));
  EXPECT_EQ(reply.bytes.find("Injected"), std::string::npos);
  EXPECT_EQ(reply.bytes.find("Keep-Alive"), std::string::npos);
}

TEST(RouterTest, HeadGetsTheHeadOfGet) {
  const auto reply = Ask([](const HttpRequest&) { return HttpResponse{.body = "12345"}; }, "/",
                         {.method = "HEAD"});
  EXPECT_NE(reply.bytes.find("Content-Length: 5\r\n"), std::string::npos);
  EXPECT_TRUE(reply.bytes.ends_with("\r\n\r\n"));
}

TEST(RouterTest, UnknownPathsGet404) {
  const auto reply =
      Ask([](const HttpRequest&) { return HttpResponse{}; }, "/other", {.method = "GET"}, "/known");
  EXPECT_TRUE(reply.bytes.starts_with("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(reply.bytes.ends_with("\r\n\r\nno such path\n"));
}

TEST(RouterTest, AHandlersExceptionIsA500WithoutItsText) {
  const auto reply =
      Ask([](const HttpRequest&) -> HttpResponse { throw std::runtime_error("secret"); }, "/");
  EXPECT_TRUE(reply.bytes.starts_with("HTTP/1.1 500 ")) << reply.bytes;
  EXPECT_EQ(reply.bytes.find("secret"), std::string::npos);
}

TEST(RouterTest, TooLongAnAnswerIsA500AndCloses) {
  const auto reply =
      Ask([](const HttpRequest&) { return HttpResponse{.body = std::string(kResponseBytes, 'x')}; },
          "/");
  EXPECT_TRUE(reply.bytes.starts_with("HTTP/1.1 500 "));
  EXPECT_TRUE(reply.close);
  EXPECT_LT(reply.bytes.size(), 200u);
}

TEST(RouterTest, HangingUpIsNoAnswerAtAll) {
  const auto reply = Ask([](const HttpRequest&) { return HttpResponse{.hang_up = true}; }, "/");
  EXPECT_TRUE(reply.bytes.empty());
  EXPECT_TRUE(reply.close);
}

TEST(RouterTest, RequestHeadersDoNotShapeTheAnswer) {
  HttpRequest request{.method = "GET",
                      .headers = {{"Range", "bytes=0-,0-,0-,0-"}, {"Accept-Encoding", "gzip, br"}}};
  const auto reply =
      Ask([](const HttpRequest&) { return HttpResponse{.body = "the whole"}; }, "/", request);
  EXPECT_TRUE(reply.bytes.starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(reply.bytes.ends_with("\r\n\r\nthe whole"));
}

TEST(RouterTest, TheLongestPathDoesNotExhaustTheStack) {
  const auto reply = Ask([](const HttpRequest&) { return HttpResponse{}; },
                         "/hook/" + std::string(4000, 'a'), {.method = "GET"}, "/hook/([^/]+)");
  EXPECT_TRUE(reply.bytes.starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace postrider
