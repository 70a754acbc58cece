#include "tests/support/tcp_gate.h"

#include <netinet/in.h>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

bool SendAll(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

int PortOf(const std::string& url) { return std::stoi(url.substr(url.rfind(':') + 1)); }

}  // namespace

TcpGate::TcpGate(const std::string& url)
    : target_port_(PortOf(url)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
  const sockaddr_in address = Loopback(0);
  PR_CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  PR_CHECK(listen(listener_, 64) == 0);
  worker_ = std::make_unique<Worker>("tcp-gate", [this](std::stop_token) { Step(); });
}

TcpGate::~TcpGate() {
  worker_.reset();
  for (const Pipe& pipe : pipes_) {
    close(pipe.client);
    close(pipe.server);
  }
  close(listener_);
}

std::string TcpGate::url() const {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  PR_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return StrCat("http://127.0.0.1:", ntohs(address.sin_port));
}

void TcpGate::DropReplies(const std::string& marker, int count) {
  MutexLock lock(mu_);
  marker_ = marker;
  to_drop_ = count;
}

int TcpGate::dropped() const {
  MutexLock lock(mu_);
  return dropped_;
}

void TcpGate::Accept() {
  Pipe pipe{accept(listener_, nullptr, nullptr), socket(AF_INET, SOCK_STREAM, 0), false};
  const sockaddr_in address = Loopback(target_port_);
  if (connect(pipe.server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    pipes_.push_back(pipe);
    return;
  }
  close(pipe.client);
  close(pipe.server);
}

bool TcpGate::FromClient(Pipe& pipe) {
  char buffer[65536];
  const ssize_t got = recv(pipe.client, buffer, sizeof buffer, 0);
  if (got <= 0) return false;
  const std::string_view bytes(buffer, static_cast<std::size_t>(got));
  {
    MutexLock lock(mu_);
    if (to_drop_ > 0 && bytes.find(marker_) != std::string_view::npos) {
      --to_drop_;
      pipe.ends_with_reply = true;
    }
  }
  return SendAll(pipe.server, bytes);
}

bool TcpGate::FromServer(Pipe& pipe) {
  char buffer[65536];
  const ssize_t got = recv(pipe.server, buffer, sizeof buffer, 0);
  if (got > 0 && pipe.ends_with_reply) {
    MutexLock lock(mu_);
    ++dropped_;
    return false;
  }
  return got > 0 && SendAll(pipe.client, {buffer, static_cast<std::size_t>(got)});
}

void TcpGate::Step() {
  std::vector<pollfd> waiting{{listener_, POLLIN, 0}};
  for (const Pipe& pipe : pipes_) {
    waiting.push_back({pipe.client, POLLIN, 0});
    waiting.push_back({pipe.server, POLLIN, 0});
  }
  constexpr int kMomentMs = 20;  // how soon the destructor is heard
  if (poll(waiting.data(), waiting.size(), kMomentMs) <= 0) return;
  std::vector<Pipe> kept;
  for (std::size_t i = 0; i < pipes_.size(); ++i) {
    Pipe& pipe = pipes_[i];
    const bool client_goes_on = waiting[1 + 2 * i].revents == 0 || FromClient(pipe);
    const bool goes_on = client_goes_on && (waiting[2 + 2 * i].revents == 0 || FromServer(pipe));
    if (goes_on) {
      kept.push_back(pipe);
    } else {
      close(pipe.client);
      close(pipe.server);
    }
  }
  pipes_ = std::move(kept);
  if (waiting[0].revents != 0) Accept();
}

}  // namespace postrider
