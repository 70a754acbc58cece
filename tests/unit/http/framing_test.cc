#include "server/http/framing.h"

#include <string>

#include <gtest/gtest.h>

namespace postrider {
namespace {

using std::string_literals::operator""s;
using State = RequestFramer::State;

TEST(FramingTest, ARequestEndsWithItsBodyHoweverItIsSliced) {
  const std::string request =
      "POST /hook/a?b=c HTTP/1.1\r\nHost: x\r\nX-One:  two \r\ncontent-length: 5\r\n\r\nhe\r\no";
  const std::string bytes = request + "GET /next HTTP/1.1\r\n";
  RequestFramer framer(FrameLimits{});
  for (std::size_t size = 0; size < request.size(); ++size)
    ASSERT_EQ(framer.Advance(bytes.substr(0, size)), State::kNeedMore) << size;
  ASSERT_EQ(framer.Advance(bytes), State::kComplete);
  EXPECT_EQ(framer.size(), request.size());
  EXPECT_FALSE(framer.last());
  const RequestFramer::Framed framed = framer.Take(bytes);
  EXPECT_EQ(framed.target, "/hook/a?b=c");
  EXPECT_EQ(framed.request.method, "POST");
  EXPECT_EQ(framed.request.headers.Get("x-one"), "two");
  EXPECT_EQ(framed.request.body, "he\r\no");
  EXPECT_EQ(framer.Advance("GET / HTTP/1.0\r\n\r\n"), State::kComplete) << "ready for the next";
  EXPECT_TRUE(framer.last());
}

TEST(FramingTest, RefusesAtTheEarliestByteAndSaysWhy) {
  const std::string get = "GET / HTTP/1.1\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\n";
  std::string many = get;
  for (int i = 0; i < 65; ++i) many += "A: b\r\n";
  std::string long_head = get;
  for (int i = 0; i < 5; ++i) long_head += "A: " + std::string(4000, 'b') + "\r\n";
  const struct {
    std::string bytes;
    int status;
    std::string reason;
  } cases[] = {
      {"BREW / HTTP/1.1\r\n", 400, "request_line"},
      {"GET /\r\n", 400, "request_line"},
      {"GET / HTTP/2.0\r\n", 400, "request_line"},
      {"GET  / HTTP/1.1\r\n", 400, "request_line"},
      {"GET / x HTTP/1.1\r\n", 400, "request_line"},
      {"GET http://a/ HTTP/1.1\r\n", 400, "request_line"},
      {"GET /\xc3\xa9 HTTP/1.1\r\n", 400, "request_line"},
      {"get / HTTP/1.1\r\n", 400, "request_line"},
      {"PRI * HTTP/2.0\r\n", 400, "request_line"},
      {"\r\n", 400, "request_line"},
      {"\x16\x03\x01 a TLS client", 400, "control_character"},
      {"GET /\0"s, 400, "control_character"},
      {get + "A: b\0"s, 400, "control_character"},
      {get + "A: b\x7f", 400, "control_character"},
      {"GET / HTTP/1.1\n", 400, "line_end"},
      {get + "Host: x\n", 400, "line_end"},
      {get + "Host: x\rX: y\r\n", 400, "line_end"},
      {get + "Host: x\r\r\n", 400, "line_end"},
      {get + "no colon\r\n", 400, "header"},
      {get + ": no name\r\n", 400, "header"},
      {get + "Name : blank\r\n", 400, "header"},
      {get + "A: b\r\n folded\r\n", 400, "header"},
      {get + "Na\xc3\xa9: b\r\n", 400, "header"},
      {get + "\r\n", 400, "host"},
      {get + "Host: a\r\nHost: b\r\n\r\n", 400, "host"},
      {post + "\r\n", 411, "length_required"},
      {post + "Transfer-Encoding: chunked\r\n\r\n", 411, "transfer_encoding"},
      {post + "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\n", 411, "transfer_encoding"},
      {get + "Host: x\r\ntransfer-encoding: x\r\n\r\n", 411, "transfer_encoding"},
      {post + "Content-Length: 1\r\nContent-Length: 1\r\n", 400, "content_length"},
      {post + "Content-Length: 1, 1\r\n", 400, "content_length"},
      {post + "Content-Length: +1\r\n", 400, "content_length"},
      {post + "Content-Length: -1\r\n", 400, "content_length"},
      {post + "Content-Length: 0x1\r\n", 400, "content_length"},
      {post + "Content-Length:\r\n", 400, "content_length"},
      {post + "Content-Length: 18446744073709551617\r\n", 400, "content_length"},
      {post + "Content-Length: 9\r\nContent-Encoding: gzip\r\n\r\n", 415, "content_encoding"},
      {post + "Content-Length: 262145\r\n\r\n", 413, "body_size"},
      {get + "Host: x\r\nContent-Length: 262145\r\n\r\n", 413, "body_size"},
      {post + "Content-Length: 1\r\nExpect: a miracle\r\n\r\n", 417, "expectation"},
      {"GET /" + std::string(4096, 'a'), 414, "request_line_size"},
      {get + "A: " + std::string(8192, 'a'), 431, "header_size"},
      {long_head, 431, "header_size"},
      {many, 431, "header_count"},
  };
  for (const auto& c : cases) {
    RequestFramer whole(FrameLimits{});
    ASSERT_EQ(whole.Advance(c.bytes), State::kRefused) << c.bytes;
    EXPECT_EQ(whole.refusal().status, c.status) << c.bytes;
    EXPECT_EQ(whole.refusal().reason, c.reason) << c.bytes;

    RequestFramer sliced(FrameLimits{});
    State state = State::kNeedMore;
    for (std::size_t size = 1; size <= c.bytes.size() && state == State::kNeedMore; ++size)
      state = sliced.Advance(c.bytes.substr(0, size));
    EXPECT_EQ(sliced.refusal().reason, c.reason) << "byte by byte: " << c.bytes;
  }
}

TEST(FramingTest, TakesWhatIsUnusualButClear) {
  const struct {
    std::string bytes;
    bool last;
  } cases[] = {
      {"GET / HTTP/1.0\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost:\r\nX-Empty:\r\n\r\n", false},
      {"GET / HTTP/1.1\r\nHost: x\r\nX-Latin: \xe9\r\n\r\n", false},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Encoding: Identity\r\n\r\n",
       false},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 000000000000000001\r\n\r\n!", false},
  };
  for (const auto& c : cases) {
    RequestFramer framer(FrameLimits{});
    ASSERT_EQ(framer.Advance(c.bytes), State::kComplete) << c.bytes << framer.refusal().text;
    EXPECT_EQ(framer.size(), c.bytes.size());
    EXPECT_EQ(framer.last(), c.last) << c.bytes;
  }
}

TEST(FramingTest, ContinueIsWantedBetweenHeadAndBody) {
  const std::string head =
      "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n";
  RequestFramer framer(FrameLimits{});
  EXPECT_EQ(framer.Advance(head.substr(0, head.size() - 1)), State::kNeedMore);
  EXPECT_FALSE(framer.WantsContinue());
  EXPECT_EQ(framer.Advance(head), State::kNeedMore);
  EXPECT_TRUE(framer.WantsContinue());
  EXPECT_EQ(framer.Advance(head + "!"), State::kComplete);
}

}  // namespace
}  // namespace postrider
