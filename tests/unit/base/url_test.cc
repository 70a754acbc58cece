#include "server/base/url.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(UrlTest, TakesApartWhatAClientMayCall) {
  const struct {
    const char* url;
    bool tls;
    const char* host;
    int port;
    const char* prefix;
    const char* authority;
  } cases[] = {
      {"https://api.mypurecloud.com", true, "api.mypurecloud.com", 443, "", "api.mypurecloud.com"},
      {"http://localhost:8080/", false, "localhost", 8080, "", "localhost:8080"},
      {"https://h:443/a/b/", true, "h", 443, "/a/b", "h"},
      {"http://h:443", false, "h", 443, "", "h:443"},
      {"http://[::1]:80/x", false, "::1", 80, "/x", "[::1]"},
      {"https://[fe80::1]", true, "fe80::1", 443, "", "[fe80::1]"},
  };
  for (const auto& c : cases) {
    const auto url = ParseBaseUrl(c.url);
    ASSERT_TRUE(url.ok()) << c.url << url.status();
    EXPECT_EQ(url->tls, c.tls) << c.url;
    EXPECT_EQ(url->host, c.host) << c.url;
    EXPECT_EQ(url->port, c.port) << c.url;
    EXPECT_EQ(url->prefix, c.prefix) << c.url;
    EXPECT_EQ(url->Authority(), c.authority) << c.url;
  }
}

TEST(UrlTest, RefusesTheRestWithoutRepeatingIt) {
  for (const char* url : {"", "ftp://h", "h:80", "//h", "http://", "http://:80",
                          "http://h:", "http://h:0", "http://h:65536", "http://h:8o", "http://[::1",
                          "http://[::1]80", "http://u:secret@h", "http://h/?q=secret",
                          "http://h/#secret", "http://h/a b", "http://h\xc3\xa9/", "HTTP://h"}) {
    const auto parsed = ParseBaseUrl(url);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_EQ(std::string(parsed.status().message()).find("secret"), std::string::npos) << url;
  }
}

TEST(UrlTest, AnOriginIsSchemeHostAndPort) {
  const auto same = [](const char* a, const char* b) {
    return IsSameOrigin(*ParseBaseUrl(a), *ParseBaseUrl(b));
  };
  EXPECT_TRUE(same("https://a.example/x", "https://A.EXAMPLE:443/y"));
  EXPECT_TRUE(same("http://[::1]:80", "http://[::1]/z"));
  EXPECT_FALSE(same("https://a.example", "http://a.example"));
  EXPECT_FALSE(same("https://a.example", "http://a.example:443"));
  EXPECT_FALSE(same("https://a.example", "https://a.example:444"));
  EXPECT_FALSE(same("https://a.example", "https://a.example.evil"));
  EXPECT_FALSE(same("https://a.example", "https://b.a.example"));
}

TEST(UrlTest, LoopbackIsThisMachineByNameOrAddress) {
  for (const char* url : {"http://localhost:1", "http://127.0.0.1", "http://[::1]/a"}) {
    EXPECT_TRUE(IsLoopback(*ParseBaseUrl(url))) << url;
  }
  for (const char* url :
       {"http://localhost.example", "http://127.0.0.1.example", "http://10.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(*ParseBaseUrl(url))) << url;
  }
}

}  // namespace
}  // namespace postrider
