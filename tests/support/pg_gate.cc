#include "tests/support/pg_gate.h"

#include <cstring>
#include <libpq-fe.h>
#include <poll.h>
#include <span>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

/// A simple query "COMMIT", as it goes over the wire.
constexpr std::string_view kCommit{
    "Q\0\0\0\x0b"
    "COMMIT\0",
    12};

std::string OptionOf(const std::string& url, std::string_view key) {
  PQconninfoOption* const options = PQconninfoParse(url.c_str(), nullptr);
  PR_CHECK(options != nullptr);
  std::string value;
  for (const PQconninfoOption* o = options; o->keyword != nullptr; ++o) {
    if (key == o->keyword && o->val != nullptr) value = o->val;
  }
  PQconninfoFree(options);
  return value;
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  PR_CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
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

/// What has come, empty at the end of the connection.
std::string_view Receive(int from, std::span<char> buffer) {
  const ssize_t got = recv(from, buffer.data(), buffer.size(), 0);
  return {buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

}  // namespace

PgGate::PgGate(const std::string& url)
    : url_(url), port_(OptionOf(url, "port")), listener_(socket(AF_UNIX, SOCK_STREAM, 0)) {
  const std::string name = StrCat("/.s.PGSQL.", port_);
  server_socket_ = StrCat(OptionOf(url, "host"), name);
  const sockaddr_un address = AddressOf(StrCat(dir_.path(), name));
  PR_CHECK(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  PR_CHECK(listen(listener_, 64) == 0);
  worker_ = std::make_unique<Worker>("pg-gate", [this](std::stop_token) { Step(); });
}

PgGate::~PgGate() {
  worker_.reset();
  for (const Pipe& pipe : pipes_) {
    close(pipe.client);
    close(pipe.server);
  }
  close(listener_);
}

std::string PgGate::url() const {
  return StrCat("host='", dir_.path(), "' port=", port_, " user=", OptionOf(url_, "user"),
                " dbname=", OptionOf(url_, "dbname"));
}

void PgGate::NextCommit(AtCommit what) {
  MutexLock lock(mu_);
  next_ = what;
}

int PgGate::dropped() const {
  MutexLock lock(mu_);
  return dropped_;
}

void PgGate::Accept() {
  Pipe pipe{accept(listener_, nullptr, nullptr), socket(AF_UNIX, SOCK_STREAM, 0), false};
  const sockaddr_un address = AddressOf(server_socket_);
  PR_CHECK(connect(pipe.server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  pipes_.push_back(pipe);
}

bool PgGate::FromClient(Pipe& pipe) {
  char buffer[16384];
  const std::string_view bytes = Receive(pipe.client, buffer);
  if (bytes.empty()) return false;
  if (bytes.find(kCommit) != std::string_view::npos) {
    MutexLock lock(mu_);
    const AtCommit what = std::exchange(next_, AtCommit::kForward);
    if (what != AtCommit::kForward) ++dropped_;
    if (what == AtCommit::kDropRequest) return false;
    pipe.ends_with_reply = what == AtCommit::kDropReply;
  }
  return SendAll(pipe.server, bytes);
}

bool PgGate::FromServer(Pipe& pipe) {
  char buffer[16384];
  const std::string_view bytes = Receive(pipe.server, buffer);
  return !bytes.empty() && !pipe.ends_with_reply && SendAll(pipe.client, bytes);
}

void PgGate::Step() {
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
