#include "server/app/ops_server.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/http/client.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

HttpResult::Response Get(const OpsServer& server, const std::string& path) {
  const SystemClock clock;
  auto client = HttpClient::Create({.base_url = StrCat("http://127.0.0.1:", server.port())}, clock);
  EXPECT_TRUE(client.ok()) << client.status();
  const HttpResult result = (*client)->Send({.path = path});
  EXPECT_TRUE(result.response) << path << ": " << result.error;
  return result.response.value_or(HttpResult::Response{});
}

TEST(OpsServerTest, ServesItsPages) {
  const SystemClock clock;
  Metrics metrics;
  metrics.CounterOf("postrider_tested_total", "Tests.").Add(3);
  OpsServer server(clock, metrics, {{"store", [] { return absl::UnavailableError("gone"); }}});
  ASSERT_TRUE(server.Start("127.0.0.1", 0).ok());
  struct Case {
    const char* path;
    int status;
    const char* wants;
  };
  const Case cases[] = {{"/healthz", 200, "ok\n"},
                        {"/readyz", 503, "store: gone\n"},
                        {"/metrics", 200, "\npostrider_tested_total 3\n"},
                        {"/", 200, "/readyz"},
                        {"/metrics/more", 404, ""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);
    const HttpResult::Response response = Get(server, c.path);
    EXPECT_EQ(response.status, c.status);
    EXPECT_THAT(response.body, HasSubstr(c.wants));
  }
  EXPECT_EQ(Get(server, "/metrics").headers.Get("Content-Type"),
            "text/plain; version=0.0.4; charset=utf-8");
}

TEST(OpsServerTest, IsReadyWhenEveryCheckIs) {
  const SystemClock clock;
  Metrics metrics;
  const OpsServer server(
      clock, metrics,
      {{"store", [] { return absl::OkStatus(); }}, {"schema", [] { return absl::OkStatus(); }}});
  const HttpResponse response = server.AnswerReady();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "ready\nstore: ok\nschema: ok\n");
}

TEST(OpsServerTest, SaysWhichCheckFailsAndWhyOnOneLine) {
  const SystemClock clock;
  Metrics metrics;
  absl::Status store = absl::UnavailableError("no route\nto host");
  const OpsServer server(
      clock, metrics,
      {{"store", [&] { return store; }}, {"schema", [] { return absl::OkStatus(); }}});
  const HttpResponse response = server.AnswerReady();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "not ready\nstore: no route to host\nschema: ok\n");
  store = absl::OkStatus();
  EXPECT_EQ(server.AnswerReady().status, 200) << "asked anew each time";
}

}  // namespace
}  // namespace postrider
