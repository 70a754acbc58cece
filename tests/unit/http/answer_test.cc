#include "server/http/answer.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(AnswerTest, IsWrittenWithItsHeadersAndLength) {
  EXPECT_EQ(AnswerBytes({.status = 429,
                         .body = "{}",
                         .content_type = "application/json",
                         .headers = {{"Retry-After", "7"}, {"Bad", "a\r\nInjected: b"}}},
                        {}),
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Type: application/json\r\n"
            "Content-Length: 2\r\n\r\n{}");
}

TEST(AnswerTest, SaysThatItIsTheConnectionsLast) {
  EXPECT_EQ(AnswerBytes({}, {.close = true}),
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

TEST(AnswerTest, HeadGetsTheHeadOfGet) {
  const std::string get = AnswerBytes({.body = "12345"}, {});
  const std::string head = AnswerBytes({.body = "12345"}, {.head = true});
  EXPECT_EQ(get, head + "12345");
}

TEST(AnswerTest, UnlistedStatusesAreToldByTheirClass) {
  EXPECT_TRUE(AnswerBytes({.status = 206}, {}).starts_with("HTTP/1.1 206 Success\r\n"));
  EXPECT_TRUE(AnswerBytes({.status = 302}, {}).starts_with("HTTP/1.1 302 Redirection\r\n"));
  EXPECT_TRUE(AnswerBytes({.status = 418}, {}).starts_with("HTTP/1.1 418 Client Error\r\n"));
  EXPECT_TRUE(AnswerBytes({.status = 599}, {}).starts_with("HTTP/1.1 599 Server Error\r\n"));
}

TEST(AnswerTest, TooLongIsA500) {
  const std::string bytes = AnswerBytes({.body = std::string(1000, 'x')}, {.most_bytes = 1000});
  EXPECT_EQ(bytes, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
}

TEST(AnswerTest, ARefusalIsACompleteAnswerThatCloses) {
  EXPECT_EQ(RefusalBytes({411, "length_required", "a Content-Length is needed"}),
            "HTTP/1.1 411 Length Required\r\nConnection: close\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 27\r\n\r\n"
            "a Content-Length is needed\n");
}

TEST(AnswerTest, ARefusalOfTheMomentSaysWhenToComeAgain) {
  EXPECT_NE(RefusalBytes({503, "queue_full", "too busy"}).find("\r\nRetry-After: 5\r\n"),
            std::string::npos);
}

}  // namespace
}  // namespace postrider
