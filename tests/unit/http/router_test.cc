#include "server/http/router.h"

#include <optional>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace postrider {
namespace {

/// Counts the answers too: there must never be a second.
struct Client {
  std::optional<HttpResponse> answer;
  int answers = 0;

  HttpReply Reply() {
    return HttpReply([this](HttpResponse response) {
      answer = std::move(response);
      ++answers;
    });
  }
};

HttpResponse Ask(HttpLaterHandler handler, const std::string& target,
                 HttpRequest request = {.method = "GET"}, const std::string& pattern = "/.*") {
  HttpRouter router(
      {{request.method == "HEAD" ? "GET" : request.method, pattern, std::move(handler)}});
  Client client;
  router.Route(target, std::move(request), client.Reply());
  EXPECT_EQ(client.answers, 1);
  return client.answer.value_or(HttpResponse{.status = 0});
}

TEST(RouterTest, AHandlerSeesTheRequestDecodedAndItsBodyRaw) {
  HttpRequest seen;
  HttpRequest request{
      .method = "POST",
      .headers = {{"Content-Type", "multipart/form-data; boundary=x"}, {"REMOTE_ADDR", "6.6.6.6"}},
      .body = "--x not a form",
      .remote_address = "127.0.0.1"};
  Ask(
      [&seen](const HttpRequest& r, HttpReply reply) {
        seen = r;
        reply({});
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

TEST(RouterTest, HeadGoesToGet) {
  const auto answer = Ask([](const HttpRequest& r, HttpReply reply) { reply({.body = r.method}); },
                          "/", {.method = "HEAD"});
  EXPECT_EQ(answer.body, "HEAD");
}

TEST(RouterTest, AnAnswerMayComeAfterTheHandlerHasReturned) {
  std::optional<HttpReply> kept;
  HttpRouter router({{"GET", "/later", [&](const HttpRequest&, HttpReply reply) {
                        kept.emplace(std::move(reply));
                      }}});
  Client client;
  router.Route("/later", {.method = "GET"}, client.Reply());
  EXPECT_EQ(client.answers, 0);
  (*kept)({.status = 202});
  (*kept)({.status = 200});
  EXPECT_EQ(client.answers, 1) << "only the first counts";
  EXPECT_EQ(client.answer->status, 202);
}

TEST(RouterTest, AReplyThatIsThrownAwayIsA500) {
  const auto answer = Ask([](const HttpRequest&, HttpReply) {}, "/");
  EXPECT_EQ(answer.status, 500);
}

TEST(RouterTest, UnknownPathsGet404) {
  const auto answer = Ask([](const HttpRequest&, HttpReply reply) { reply({}); }, "/other",
                          {.method = "GET"}, "/known");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.body, "no such path\n");
}

TEST(RouterTest, AHandlersExceptionIsA500WithoutItsText) {
  const auto answer =
      Ask([](const HttpRequest&, HttpReply) { throw std::runtime_error("secret"); }, "/");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "");
}

TEST(RouterTest, TheLongestPathDoesNotExhaustTheStack) {
  const auto answer = Ask([](const HttpRequest&, HttpReply reply) { reply({}); },
                          "/hook/" + std::string(4000, 'a'), {.method = "GET"}, "/hook/([^/]+)");
  EXPECT_EQ(answer.status, 200);
}

}  // namespace
}  // namespace postrider
