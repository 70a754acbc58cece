#include "server/http/guarded_server.h"

#include <atomic>
#include <deque>
#include <netinet/in.h>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/mutex.h"
#include "tests/support/fake_clock.h"
#include "tests/support/http_raw_client.h"

namespace postrider {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

const std::string kGet = "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n";
const std::string kLater = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

std::string Post(const std::string& body) {
  return "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

/// Handlers of /wait stay here until Open().
class Gate {
 public:
  HttpResponse Pass() {
    MutexLock lock(mu_);
    ++waiting_;
    changed_.NotifyAll();
    changed_.WaitFor(mu_, {}, 10s, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return open_; });
    return {.body = "passed"};
  }
  bool AwaitWaiting(int count) {
    MutexLock lock(mu_);
    return changed_.WaitFor(mu_, {}, 10s,
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return waiting_ >= count; });
  }
  void Open() {
    MutexLock lock(mu_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

class GuardedServerTest : public ::testing::Test {
 protected:
  /// Starts a server with two workers and a step so short that it notices the fake clock.
  GuardedServer& StartServer(GuardedServer::Options options = {}) {
    options.front.name = "test";
    options.front.longest_wait = 2ms;
    options.workers = 2;
    server_ = std::make_unique<GuardedServer>(options, clock_, metrics_);
    server_->Handle("GET", "/echo", [](const HttpRequest&) { return HttpResponse{.body = "hi"}; });
    server_->Handle("POST", "/echo",
                    [](const HttpRequest& r) { return HttpResponse{.body = r.body}; });
    server_->Handle("GET", "/wait", [this](const HttpRequest&) { return gate_.Pass(); });
    server_->Handle("GET", "/who",
                    [](const HttpRequest& r) { return HttpResponse{.body = r.remote_address}; });
    server_->Handle("GET", "/large", [](const HttpRequest&) {
      return HttpResponse{.body = std::string(kLarge, 'x')};
    });
    server_->HandleLater("GET", "/later", [this](const HttpRequest&, HttpReply reply) {
      MutexLock lock(mu_);
      kept_.push_back(std::move(reply));
      kept_more_.NotifyAll();
    });
    server_->Handle("GET", "/gone",
                    [](const HttpRequest&) { return HttpResponse{.hang_up = true}; });
    EXPECT_TRUE(server_->Start("127.0.0.1", 0).ok());
    return *server_;
  }

  HttpRawClient Client() const { return HttpRawClient(server_->port()); }

  std::string Metric(const std::string& reason) {
    const std::string text = metrics_.Expose();
    const std::string line =
        "postrider_http_refusals_total{reason=\"" + reason + "\",server=\"test\"} ";
    const std::size_t at = text.find(line);
    if (at == std::string::npos) return "none";
    return text.substr(at + line.size(), text.find('\n', at) - at - line.size());
  }

  /// The reply of the next request of /later.
  HttpReply TakeKept() {
    MutexLock lock(mu_);
    EXPECT_TRUE(kept_more_.WaitFor(
        mu_, {}, 10s, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !kept_.empty(); }));
    HttpReply reply = std::move(kept_.front());
    kept_.pop_front();
    return reply;
  }

  static constexpr std::size_t kLarge = 7 << 20;

  FakeClock clock_;
  Metrics metrics_;
  Gate gate_;
  Mutex mu_;
  CondVar kept_more_;
  std::deque<HttpReply> kept_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<GuardedServer> server_;
};

TEST_F(GuardedServerTest, KeepsAConnectionForRequestAfterRequest) {
  StartServer();
  HttpRawClient client = Client();
  for (int i = 0; i < 20; ++i) {
    const std::string body = "body " + std::to_string(i);
    ASSERT_TRUE(client.Send(Post(body)));
    ASSERT_TRUE(client.ReadAnswer().ends_with("\r\n\r\n" + body));
  }
}

TEST_F(GuardedServerTest, AnswersPipelinedRequestsInOrder) {
  StartServer();
  HttpRawClient client = Client();
  std::string all;
  for (int i = 0; i < 50; ++i) all += Post(std::to_string(i)) + (i % 2 == 0 ? "" : "\r\n");
  ASSERT_TRUE(client.Send(all + kGet));
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(client.ReadAnswer().ends_with("\r\n\r\n" + std::to_string(i))) << i;
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\nhi"));
}

TEST_F(GuardedServerTest, TakesARequestByteByByte) {
  StartServer();
  HttpRawClient client = Client();
  for (const char c : Post("slow")) ASSERT_TRUE(client.Send(std::string(1, c)));
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\nslow"));
}

TEST_F(GuardedServerTest, AnswersHeadWithoutABody) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send("HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n" + kGet));
  EXPECT_NE(client.ReadAnswer(/*has_body=*/false).find("Content-Length: 2"), std::string::npos);
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\nhi"));
}

TEST_F(GuardedServerTest, ClosesWhenTheClientAsksForIt) {
  StartServer();
  for (const std::string request : {"GET /echo HTTP/1.0\r\n\r\n",
                                    "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}) {
    HttpRawClient client = Client();
    ASSERT_TRUE(client.Send(request));
    const auto all = client.ReadToEnd();
    ASSERT_TRUE(all.has_value());
    EXPECT_NE(all->find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(all->ends_with("\r\n\r\nhi"));
  }
}

TEST_F(GuardedServerTest, TheRemoteAddressIsTheSocketsNotAHeaders) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send("GET /who HTTP/1.1\r\nHost: x\r\nREMOTE_ADDR: 6.6.6.6\r\n\r\n"));
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\n127.0.0.1"));
}

TEST_F(GuardedServerTest, TellsTheClientToContinueButNotWithATooLargeBody) {
  StartServer();
  HttpRawClient client = Client();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n";
  ASSERT_TRUE(client.Send(head + "Content-Length: 2\r\n\r\n"));
  EXPECT_EQ(client.ReadAnswer(), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client.Send("ok"));
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\nok"));
  ASSERT_TRUE(client.Send(head + "Content-Length: 10000000\r\n\r\n"));
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 413 "));
}

TEST_F(GuardedServerTest, EveryRefusalSaysWhyCountsAndCloses) {
  StartServer();
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  const struct {
    std::string bytes;
    std::string status;
    std::string reason;
  } cases[] = {
      {"nonsense\r\n\r\n", "400", "request_line"},
      {"GET / HTTP/1.1\nHost: x\n\n", "400", "line_end"},
      {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400", "content_length"},
      {post + "\r\n", "411", "length_required"},
      {post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411",
       "transfer_encoding"},
      {post + "Content-Length: 1000000\r\n\r\n" + std::string(100'000, 'x'), "413", "body_size"},
      {"GET /" + std::string(5000, 'a'), "414", "request_line_size"},
      {post + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "415", "content_encoding"},
      {post + "Content-Length: 1\r\nExpect: x\r\n\r\nx", "417", "expectation"},
      {post + "A: " + std::string(10'000, 'a'), "431", "header_size"},
  };
  for (const auto& c : cases) {
    HttpRawClient client = Client();
    // What follows a refused request must never be taken for another one.
    ASSERT_TRUE(client.Send(c.bytes + kGet));
    const auto all = client.ReadToEnd();
    ASSERT_TRUE(all.has_value()) << "must close after " << c.status;
    EXPECT_TRUE(all->starts_with("HTTP/1.1 " + c.status + " ")) << *all;
    EXPECT_EQ(all->find("HTTP/1.1", 8), std::string::npos) << "one answer: " << *all;
    EXPECT_NE(all->find("Connection: close\r\n"), std::string::npos);
    EXPECT_GT(all->size() - all->find("\r\n\r\n"), 10u) << "a text: " << *all;
    EXPECT_EQ(Metric(c.reason), "1") << c.reason;
  }
}

TEST_F(GuardedServerTest, AnEndlessHeaderIsCutOffAtItsLimit) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send("GET /echo HTTP/1.1\r\n"));
  // The server reads on for a while so that the client can read the answer, then closes: sending
  // must fail long before 64 MiB.
  const std::string lines(1 << 20, 'a');
  int sent = 0;
  while (sent < 64 && client.Send(lines)) ++sent;
  EXPECT_LT(sent, 64);
  EXPECT_EQ(Metric("header_size"), "1");
}

TEST_F(GuardedServerTest, SlowSocketsHoldNoWorker) {
  StartServer();
  std::vector<HttpRawClient> slow;
  for (int i = 0; i < 300; ++i) {
    slow.push_back(Client());
    ASSERT_TRUE(slow.back().Send(i % 2 == 0 ? "POST /echo HT" : Post("never all").substr(0, 55)));
  }
  HttpRawClient quick = Client();
  ASSERT_TRUE(quick.Send(kGet));
  EXPECT_TRUE(quick.ReadAnswer().ends_with("\r\n\r\nhi"));

  while (Metric("deadline") != "300") {
    clock_.Advance(11s);
    HttpRawClient other = Client();
    ASSERT_TRUE(other.Send(kGet));
    ASSERT_FALSE(other.ReadAnswer().empty());
  }
  for (HttpRawClient& client : slow) {
    const auto all = client.ReadToEnd();
    ASSERT_TRUE(all.has_value());
    EXPECT_TRUE(all->starts_with("HTTP/1.1 408 ")) << *all;
  }
}

TEST_F(GuardedServerTest, BytesDoNotMoveARequestsDeadline) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(
      client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                  "Expect: 100-continue\r\n\r\n"));
  ASSERT_FALSE(client.ReadAnswer().empty()) << "the first byte has been read";
  clock_.Advance(9s);
  ASSERT_TRUE(client.Send("more"));
  clock_.Advance(2s);
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 408 "));
}

TEST_F(GuardedServerTest, IdleConnectionsCloseWithoutAWord) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send(kGet));
  ASSERT_FALSE(client.ReadAnswer().empty());
  // The server may take a moment to see that its answer is written.
  pollfd ended{client.fd(), POLLIN, 0};
  do {
    clock_.Advance(61s);
  } while (poll(&ended, 1, 5) == 0);
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(GuardedServerTest, AFullQueueRefuses) {
  StartServer({.front = {}, .queued_requests = 1});
  const std::string wait = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";
  std::vector<HttpRawClient> busy;
  for (int i = 0; i < 2; ++i) {
    busy.push_back(Client());
    ASSERT_TRUE(busy.back().Send(wait));
    ASSERT_TRUE(gate_.AwaitWaiting(i + 1));
  }
  // One more waits in the queue; of two, one is refused at once.
  HttpRawClient a = Client();
  HttpRawClient b = Client();
  ASSERT_TRUE(a.Send(wait));
  ASSERT_TRUE(b.Send(wait));
  pollfd either[] = {{a.fd(), POLLIN, 0}, {b.fd(), POLLIN, 0}};
  ASSERT_EQ(poll(either, 2, 10'000), 1);
  HttpRawClient& refused = either[0].revents != 0 ? a : b;
  HttpRawClient& queued = either[0].revents != 0 ? b : a;
  EXPECT_TRUE(refused.ReadToEnd()->starts_with("HTTP/1.1 503 "));
  gate_.Open();
  EXPECT_TRUE(queued.ReadAnswer().ends_with("passed"));
  EXPECT_EQ(Metric("queue_full"), "1");
}

TEST_F(GuardedServerTest, MoreMayWaitForAnAnswerThanThereAreWorkers) {
  StartServer();
  std::vector<HttpRawClient> clients;
  std::vector<HttpReply> replies;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(Client());
    ASSERT_TRUE(clients.back().Send(kLater));
    replies.push_back(TakeKept());
  }
  for (int i = 0; i < 10; ++i) replies[static_cast<std::size_t>(i)]({.body = std::to_string(i)});
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(clients[static_cast<std::size_t>(i)].ReadAnswer().ends_with(std::to_string(i)));
  }
}

TEST_F(GuardedServerTest, AHandlerMayCloseTheConnection) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send(kLater));
  TakeKept()({.status = 400, .body = "no", .close = true});
  const auto all = client.ReadToEnd();
  ASSERT_TRUE(all.has_value()) << "the connection stays open";
  EXPECT_NE(all->find("\r\nConnection: close\r\n"), std::string::npos);
}

TEST_F(GuardedServerTest, AnAnswerThatDoesNotComeInTimeIsA503AndTheLateOneIsDropped) {
  StartServer({.front = {.answer_deadline = 5s}});
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send(kLater));
  HttpReply late = TakeKept();
  clock_.Advance(6s);
  const auto all = client.ReadToEnd();
  ASSERT_TRUE(all.has_value());
  EXPECT_TRUE(all->starts_with("HTTP/1.1 503 ")) << *all;
  EXPECT_NE(all->find("Retry-After: "), std::string::npos);
  EXPECT_EQ(Metric("answer_deadline"), "1");
  late({.body = "late"});
  HttpRawClient next = Client();
  ASSERT_TRUE(next.Send(kGet));
  EXPECT_TRUE(next.ReadAnswer().ends_with("hi"));
}

TEST_F(GuardedServerTest, AReplyMayOutliveItsServer) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send(kLater));
  HttpReply late = TakeKept();
  server_ = nullptr;
  EXPECT_EQ(client.ReadToEnd(), "");
  late({.body = "late"});
}

TEST_F(GuardedServerTest, ConnectionsBeyondTheLimitAreRefused) {
  StartServer({.front = {.connections = 3}});
  std::vector<HttpRawClient> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(Client());
    ASSERT_TRUE(held.back().Send(kGet));
    ASSERT_FALSE(held.back().ReadAnswer().empty());
  }
  HttpRawClient refused = Client();
  EXPECT_TRUE(refused.ReadToEnd()->starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(Metric("connections"), "1");
  held.clear();
  // The places are free as soon as the server has seen the ends.
  std::string answer;
  for (int i = 0; i < 1000 && !answer.starts_with("HTTP/1.1 200"); ++i) {
    HttpRawClient again = Client();
    answer = again.Send(kGet) ? again.ReadAnswer() : "";
  }
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200"));
}

TEST_F(GuardedServerTest, BufferedBytesAreBoundedOverAllConnections) {
  StartServer({.front = {.buffered_bytes = 50'000}});
  std::vector<HttpRawClient> clients;
  const std::string part = Post(std::string(100'000, 'x')).substr(0, 20'000);
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(Client());
    ASSERT_TRUE(clients.back().Send(part));
  }
  HttpRawClient small = Client();
  while (Metric("memory") == "none") ASSERT_TRUE(small.Send(kGet) && !small.ReadAnswer().empty());
  for (HttpRawClient& client : clients) {
    pollfd waited{client.fd(), POLLIN, 0};
    if (poll(&waited, 1, 0) == 1) ++refused;
  }
  EXPECT_GT(refused, 0);
}

TEST_F(GuardedServerTest, AReaderThatStopsLosesItsConnectionAtTheDeadline) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_TRUE(client.Wait(POLLIN)) << "the answer has begun";
  while (Metric("slow_reader") == "none") {
    clock_.Advance(11s);
    HttpRawClient other = Client();
    ASSERT_TRUE(other.Send(kGet));
    ASSERT_FALSE(other.ReadAnswer().empty());
  }
  EXPECT_LT(client.ReadToEnd()->size(), kLarge);
}

TEST_F(GuardedServerTest, ALargeAnswerArrivesWhole) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n" + kGet));
  EXPECT_GT(client.ReadAnswer().size(), kLarge);
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\nhi"));
}

TEST_F(GuardedServerTest, AHandlerMayHangUp) {
  StartServer();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send("GET /gone HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(GuardedServerTest, AClientThatLeavesEarlyHarmsNobody) {
  StartServer();
  HttpRawClient leaver = Client();
  ASSERT_TRUE(leaver.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_TRUE(gate_.AwaitWaiting(1));
  const linger reset{1, 0};
  setsockopt(leaver.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  leaver.HangUp();
  gate_.Open();
  HttpRawClient client = Client();
  ASSERT_TRUE(client.Send(kGet));
  EXPECT_TRUE(client.ReadAnswer().ends_with("\r\n\r\nhi"));
}

TEST_F(GuardedServerTest, SurvivesRunningOutOfFiles) {
  StartServer();
  HttpRawClient before = Client();
  ASSERT_TRUE(before.Send(kGet));
  ASSERT_FALSE(before.ReadAnswer().empty());

  const UniqueFd shed(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(server_->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  rlimit usual{};
  getrlimit(RLIMIT_NOFILE, &usual);
  rlimit none_left = usual;
  none_left.rlim_cur = static_cast<rlim_t>(shed.get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none_left), 0);
  ASSERT_EQ(connect(shed.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  char byte = 0;
  EXPECT_EQ(recv(shed.get(), &byte, 1, 0), 0) << "accepted and closed, not left waiting";
  setrlimit(RLIMIT_NOFILE, &usual);
  EXPECT_EQ(Metric("files"), "1");

  ASSERT_TRUE(before.Send(kGet));
  EXPECT_FALSE(before.ReadAnswer().empty()) << "open connections go on";
  HttpRawClient after = Client();
  ASSERT_TRUE(after.Send(kGet));
  EXPECT_FALSE(after.ReadAnswer().empty());
}

TEST_F(GuardedServerTest, APortInUseIsAnErrorThatNamesIt) {
  StartServer();
  GuardedServer second({}, clock_, metrics_);
  const absl::Status status = second.Start("127.0.0.1", server_->port());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "cannot listen on 127.0.0.1:" + std::to_string(server_->port()) + ": already in use");
}

TEST_F(GuardedServerTest, DrainFinishesWhatHasBegunAndAcceptsNoMore) {
  StartServer();
  const int port = server_->port();
  HttpRawClient idle = Client();
  ASSERT_TRUE(idle.Send(kGet));
  ASSERT_FALSE(idle.ReadAnswer().empty());
  HttpRawClient working = Client();
  ASSERT_TRUE(working.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_TRUE(gate_.AwaitWaiting(1));

  std::atomic<bool> drained = false;
  std::atomic<bool> begun = false;
  Worker drainer("drainer", [&](std::stop_token) {
    if (!begun.exchange(true)) drained = server_->Drain(10s);
  });
  EXPECT_EQ(idle.ReadToEnd(), "") << "idle connections close at once";
  EXPECT_FALSE(HttpRawClient(port).connected());
  gate_.Open();
  const auto answer = working.ReadToEnd();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ends_with("passed"));
  working.HangUp();
  drainer.Stop();
  EXPECT_TRUE(drained);
}

TEST_F(GuardedServerTest, DrainCutsOffWhatDoesNotEnd) {
  StartServer();
  HttpRawClient slow = Client();
  ASSERT_TRUE(
      slow.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                "Expect: 100-continue\r\n\r\n"));
  ASSERT_FALSE(slow.ReadAnswer().empty());
  EXPECT_FALSE(server_->Drain(5ms));
  EXPECT_TRUE(slow.ReadToEnd().has_value());
}

}  // namespace
}  // namespace postrider
