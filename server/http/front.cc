#include "server/http/front.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/http/answer.h"
#include "server/http/front_connection.h"

namespace postrider {

namespace {

constexpr std::uint64_t kListener = 0;
constexpr std::uint64_t kWake = 1;
constexpr std::uint64_t kFirstConnection = 2;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
/// Sweeping looks at every connection, so it is not done for each deadline by itself.
constexpr auto kSweepInterval = std::chrono::milliseconds(10);

void Watch(int epoll, int operation, int fd, std::uint64_t id, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(epoll, operation, fd, &event);
}

std::string PeerAddress(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  std::array<char, NI_MAXHOST> text{};
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address), size, text.data(), text.size(), nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    return "unknown";
  }
  return text.data();
}

UniqueFd ReserveFile() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

HttpFront::HttpFront(HttpFrontOptions options, UniqueFd listener, HttpExchange& exchange,
                     const Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      exchange_(exchange),
      clock_(clock),
      metrics_(metrics),
      open_(metrics.GaugeOf("postrider_http_connections", "Open connections",
                            {{"server", options_.name}})),
      requests_(metrics.CounterOf("postrider_http_requests_total", "Complete requests taken",
                                  {{"server", options_.name}})),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      listener_(std::move(listener)),
      reserve_(ReserveFile()),
      next_id_(kFirstConnection) {
  Watch(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), kListener, EPOLLIN);
  Watch(epoll_.get(), EPOLL_CTL_ADD, exchange_.wake_fd(), kWake, EPOLLIN);
}

HttpFront::~HttpFront() = default;

void HttpFront::Step(std::stop_token) {
  std::array<epoll_event, 128> events;
  const int count =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), WaitMs());
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const std::uint64_t id = event.data.u64;  // A copy: in the packed struct it may be misaligned.
    if (id == kListener) {
      AcceptSome();
    } else if (id == kWake) {
      exchange_.ClearWake();
    } else if (const auto found = connections_.find(id); found != connections_.end()) {
      OnEvents(*found->second, event.events);
    }
  }
  for (HttpExchange::Answer& answer : exchange_.TakeAnswers()) OnAnswer(std::move(answer));
  if (!draining_ && exchange_.draining()) OnDrain();
  SweepDeadlines();
  for (const std::uint64_t id : closed_) connections_.erase(id);
  closed_.clear();
  open_.Set(static_cast<double>(connections_.size()));
  if (draining_ && connections_.empty()) exchange_.MarkDrained();
}

int HttpFront::WaitMs() const {
  const MonotonicTime now = clock_.Now();
  const MonotonicTime soonest =
      std::min({next_sweep_, resume_accepting_, now + options_.longest_wait});
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(soonest - now);
  return static_cast<int>(std::max<std::int64_t>(wait.count(), 0));
}

void HttpFront::AcceptSome() {
  constexpr int kAtOnce = 64;
  for (int i = 0; i < kAtOnce && listener_.ok(); ++i) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.ok()) {
      Admit(std::move(fd));
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EMFILE || errno == ENFILE) return ShedOne();
    if (errno == ENOBUFS || errno == ENOMEM) return PauseAccepting();
    // Others are this one connection's misfortune (ECONNABORTED and the like).
  }
}

void HttpFront::Admit(UniqueFd fd) {
  if (connections_.size() >= options_.connections) {
    const Refusal refusal{503, "connections", "too many connections"};
    Count(refusal.reason);
    const std::string bytes = RefusalBytes(refusal);
    // It fits into an empty send buffer; if not, closing says enough.
    [[maybe_unused]] const ssize_t size =
        send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  SetNoDelay(fd.get());
  std::string peer = PeerAddress(fd.get());
  const std::uint64_t id = next_id_++;
  auto connection =
      std::make_unique<Connection>(id, std::move(fd), std::move(peer), options_.frame);
  connection->interest = EPOLLIN;
  Watch(epoll_.get(), EPOLL_CTL_ADD, connection->fd.get(), id, EPOLLIN);
  SetDeadline(*connection, clock_.Now() + options_.idle_deadline);
  connections_.emplace(id, std::move(connection));
}

void HttpFront::ShedOne() {
  Count("files");
  reserve_.Reset();
  UniqueFd shed(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  const bool accepted = shed.ok();
  shed.Reset();
  reserve_ = ReserveFile();
  if (!accepted || !reserve_.ok()) PauseAccepting();
}

void HttpFront::PauseAccepting() {
  PR_LOG(kWarning, "http server cannot accept, waiting", {"server", options_.name});
  Watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), kListener, 0);
  resume_accepting_ = clock_.Now() + kAcceptPause;
}

void HttpFront::ResumeAccepting() {
  resume_accepting_ = MonotonicTime::max();
  if (!listener_.ok()) return;
  if (!reserve_.ok()) reserve_ = ReserveFile();
  Watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), kListener, EPOLLIN);
}

void HttpFront::OnDrain() {
  draining_ = true;
  listener_.Reset();
  for (const auto& [id, connection] : connections_)
    if (connection->state == Connection::State::kIdle) Close(*connection);
}

void HttpFront::SweepDeadlines() {
  const MonotonicTime now = clock_.Now();
  if (now >= resume_accepting_) ResumeAccepting();
  if (now < next_sweep_) return;
  MonotonicTime next = MonotonicTime::max();
  for (const auto& [id, connection] : connections_) {
    if (connection->deadline <= now) OnDeadline(*connection);
    next = std::min(next, connection->deadline);
  }
  next_sweep_ = std::max(next, now + kSweepInterval);
}

void HttpFront::OnDeadline(Connection& connection) {
  switch (connection.state) {
    case Connection::State::kReading:
      return Refuse(connection, {408, "deadline", "the request did not arrive in time"});
    case Connection::State::kWriting:
      Count("slow_reader");
      return Close(connection);
    case Connection::State::kIdle:
    case Connection::State::kLingering:
      return Close(connection);
    case Connection::State::kAnswering:
      if (connection.peer_gone) return Close(connection);
      return Refuse(connection, {503, "answer_deadline", "no answer in time; send it again"});
    case Connection::State::kClosed:
      return;
  }
}

void HttpFront::SetDeadline(Connection& connection, MonotonicTime deadline) {
  connection.deadline = deadline;
  next_sweep_ = std::min(next_sweep_, deadline);
}

void HttpFront::SetInterest(Connection& connection, std::uint32_t events) {
  if (connection.interest == events || connection.peer_gone) return;
  connection.interest = events;
  Watch(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), connection.id, events);
}

bool HttpFront::Account(Connection& connection) {
  const std::size_t now = connection.in.size() + connection.out.size();
  buffered_bytes_ = buffered_bytes_ - connection.accounted + now;
  connection.accounted = now;
  return buffered_bytes_ <= options_.buffered_bytes;
}

void HttpFront::Count(std::string_view reason) {
  metrics_
      .CounterOf("postrider_http_refusals_total", "Requests and connections refused, by reason",
                 {{"server", options_.name}, {"reason", std::string(reason)}})
      .Add();
}

}  // namespace postrider
