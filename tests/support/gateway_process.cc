#include "tests/support/gateway_process.h"

#include <algorithm>
#include <fstream>
#include <signal.h>
#include <utility>

#include <gtest/gtest.h>

#include "server/base/random.h"
#include "server/base/strings.h"
#include "server/http/client.h"
#include "server/http/socket.h"
#include "server/store/child_process.h"
#include "tests/support/await.h"

namespace postrider {

namespace {

constexpr auto kLongestStop = std::chrono::seconds(60);
constexpr auto kLongestPostgresStop = std::chrono::seconds(30);

/// Free ports below those that the kernel gives out by itself: nobody takes one of them while the
/// gateway is restarted.
std::vector<int> FreePorts() {
  constexpr int kLowest = 10'000;
  constexpr int kHighest = 32'000;
  OsRandom random;
  std::vector<int> ports;
  while (ports.size() < 5) {
    const int port = kLowest + static_cast<int>(random.Fraction() * (kHighest - kLowest));
    const bool had = std::find(ports.begin(), ports.end(), port) != ports.end();
    if (!had && Listen("127.0.0.1", port, 1).ok()) ports.push_back(port);
  }
  return ports;
}

HttpResult Exchange(const std::string& url, HttpCall call) {
  const std::size_t path = url.find('/', url.find("://") + 3);
  const SystemClock clock;
  auto client = HttpClient::Create({.base_url = url.substr(0, path)}, clock);
  if (!client.ok()) return {};
  if (path != std::string::npos) call.path = url.substr(path);
  return (*client)->Send(call);
}

}  // namespace

int HttpGet(const std::string& url, std::string* body) {
  const HttpResult result = Exchange(url, {});
  if (!result.response) return 0;
  if (body != nullptr) *body = result.response->body;
  return result.response->status;
}

int HttpPost(const std::string& url, const std::string& body, const HttpHeaders& headers) {
  const HttpResult result = Exchange(
      url,
      {.method = "POST", .headers = headers, .body = body, .content_type = "application/json"});
  return result.response ? result.response->status : 0;
}

GatewayProcess::GatewayProcess(Options options)
    : options_(std::move(options)), ports_(FreePorts()) {
  if (options_.starts && !Start(options_.environment)) {
    ADD_FAILURE() << "the gateway is not ready";
  }
}

GatewayProcess::~GatewayProcess() {
  if (process_) Kill();
  StopPrivatePostgres();
  if (::testing::Test::HasFailure()) {
    std::fprintf(stderr, "--- what the gateway said:\n%s---\n", Errors().c_str());
  }
}

std::vector<std::string> GatewayProcess::Arguments() const {
  std::vector<std::string> arguments = {POSTRIDERD, "serve"};
  std::vector<std::pair<const char*, std::string>> wanted = {
      {"--state-dir", state_dir()},
      {"--listen", Address(0)},
      {"--webhook-listen", Address(1)},
      {"--ops-listen", Address(2)},
      {"--admin-listen", Address(4)},
      {"--rate-per-second", "1000"},
      {"--burst", "100"},
      {"--sender-rate", "100000"},
      {"--database-url", options_.database_url}};
  if (options_.sandbox) {
    arguments.push_back("--sandbox");
    wanted.insert(wanted.end(), {{"--sandbox-listen", Address(3)},
                                 {"--sandbox-ledger-file", ledger_file()},
                                 {"--sandbox-receipt-delay-ms", "20"}});
  }
  const std::vector<std::string>& flags = options_.flags;
  for (const auto& [flag, value] : wanted) {
    const bool replaced = std::find(flags.begin(), flags.end(), flag) != flags.end();
    if (!replaced && !value.empty()) arguments.insert(arguments.end(), {flag, value});
  }
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return arguments;
}

bool GatewayProcess::Start(const std::vector<std::string>& environment) {
  Launch(environment);
  return AwaitReady();
}

void GatewayProcess::Launch(const std::vector<std::string>& environment) {
  process_ = std::make_unique<ChildProgram>(
      ChildProgram::Options{.arguments = Arguments(),
                            .environment = environment,
                            .output_file = state_dir() + "/stdout.txt",
                            .error_file = state_dir() + "/stderr.txt"});
}

bool GatewayProcess::AwaitReady() {
  bool ended = false;
  const bool decided = Await([&] {
    ended = process_->AwaitExit({}).has_value();
    return ended || HttpGet(StrCat(ops_url(), "/readyz")) == 200;
  });
  return decided && !ended;
}

void GatewayProcess::Stop() {
  process_->Signal(SIGTERM);
  const ChildProgram::Exit exit = AwaitExit();
  EXPECT_EQ(exit.status, 0);
  EXPECT_EQ(exit.signal, 0);
}

void GatewayProcess::Kill() {
  process_->Signal(SIGKILL);
  AwaitExit();
}

ChildProgram::Exit GatewayProcess::AwaitExit() {
  const auto exit = process_->AwaitExit(kLongestStop);
  EXPECT_TRUE(exit.has_value()) << "the gateway does not end";
  process_.reset();
  return exit.value_or(ChildProgram::Exit{});
}

std::string GatewayProcess::Address(int which) const {
  return StrCat("127.0.0.1:", ports_[static_cast<std::size_t>(which)]);
}

std::string GatewayProcess::AddressLine(const std::string& name) const {
  std::ifstream file(state_dir() + "/addresses");
  const std::string start = name + "=";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(start)) return line.substr(start.size());
  }
  return "";
}

std::string GatewayProcess::grpc_address() const { return Address(0); }
std::string GatewayProcess::admin_address() const { return Address(4); }
std::string GatewayProcess::ops_url() const { return StrCat("http://", Address(2)); }
std::string GatewayProcess::sandbox_url() const { return StrCat("http://", Address(3)); }
std::string GatewayProcess::webhook_url() const { return AddressLine("webhook"); }
std::string GatewayProcess::database_url() const { return AddressLine("database"); }

std::string GatewayProcess::Errors() const { return ReadWholeFile(state_dir() + "/stderr.txt"); }

void GatewayProcess::StopPrivatePostgres() const {
  std::ifstream file(state_dir() + "/postgres/postmaster.pid");
  pid_t pid = 0;
  if (!(file >> pid) || pid <= 1) return;
  const auto server = ProcessHandle::Open(pid);
  if (!server.ok()) return;
  server->Signal(SIGQUIT);
  server->AwaitEnd(kLongestPostgresStop);
}

}  // namespace postrider
