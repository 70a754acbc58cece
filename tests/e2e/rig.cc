#include "tests/e2e/rig.h"

#include <atomic>

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {

namespace {

GatewayProcess::Options GatewayOptions(const Rig::Options& options, const TestDatabase* database) {
  return {.database_url = database == nullptr ? "" : database->url(),
          .flags = options.flags,
          .environment = options.environment};
}

std::unique_ptr<Client> OpenClient(const GatewayProcess& gateway, client::RetryOptions retry) {
  auto opened = Client::Open(
      {.address = gateway.grpc_address(), .token_file = gateway.token_file(), .retry = retry});
  if (opened.ok()) return *std::move(opened);
  ADD_FAILURE() << opened.status();
  return nullptr;
}

}  // namespace

v1::SendMessageRequest RequestTo(const std::string& recipient, const std::string& text) {
  OsRandom random;
  v1::SendMessageRequest request;
  request.set_request_id(client::NewRequestId(random));
  request.set_recipient(recipient);
  request.set_sender(kSender);
  request.set_text(text);
  return request;
}

v1::PauseDispatchRequest PauseFor(const std::string& reason, const std::string& campaign) {
  v1::PauseDispatchRequest request;
  request.mutable_target()->set_tenant("default");
  if (!campaign.empty()) request.mutable_target()->set_campaign_id(campaign);
  request.set_reason(reason);
  return request;
}

v1::ResumeDispatchRequest ResumeFor(const std::string& reason, const std::string& campaign) {
  v1::ResumeDispatchRequest request;
  *request.mutable_target() = PauseFor(reason, campaign).target();
  request.set_reason(reason);
  return request;
}

Rig::Rig(const Options& options)
    : database(options.private_postgres ? nullptr : std::make_unique<TestDatabase>()),
      gateway(GatewayOptions(options, database.get())),
      sql(database ? database->url() : gateway.database_url()),
      client_(NewClient()) {}

std::unique_ptr<Client> Rig::NewClient() const { return OpenClient(gateway, {}); }

std::unique_ptr<Client> Rig::ImpatientClient() const {
  return OpenClient(gateway, {.budget = {}, .turn_budget = {}});
}

std::string Rig::Send(const v1::SendMessageRequest& request) {
  const auto sent = client_->Send(request);
  if (sent.ok()) return sent->message().message_id();
  ADD_FAILURE() << sent.status();
  return "";
}

v1::MessageState Rig::StateOf(const std::string& message_id) const {
  const auto status = client_->GetStatus(message_id);
  return status.ok() ? status->message().status().state() : v1::MESSAGE_STATE_UNSPECIFIED;
}

void Rig::AwaitState(const std::string& message_id, v1::MessageState state) const {
  EXPECT_TRUE(Await([&] { return StateOf(message_id) == state; }))
      << message_id << " is " << v1::MessageState_Name(StateOf(message_id)) << " and not "
      << v1::MessageState_Name(state);
}

std::shared_ptr<grpc::Channel> Rig::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(gateway.grpc_address(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

namespace {
std::string TokenIn(const std::string& file) {
  std::string token = ReadWholeFile(file);
  while (token.ends_with('\n')) token.pop_back();
  return token;
}
}  // namespace

std::string Rig::Token() const { return TokenIn(gateway.token_file()); }
std::string Rig::OperatorToken() const { return TokenIn(gateway.operator_token_file()); }

std::unique_ptr<client::Admin> Rig::NewAdmin() const {
  auto opened = client::Admin::Open(
      {.address = gateway.admin_address(), .token_file = gateway.operator_token_file()});
  if (opened.ok()) return *std::move(opened);
  ADD_FAILURE() << opened.status();
  return nullptr;
}

Watcher::Watcher(const Client& client, v1::StreamStatusRequest request)
    : client_(client),
      request_(std::move(request)),
      worker_("watcher", [this](std::stop_token stop) {
        if (End().has_value()) {
          WaitOrStop(stop, std::chrono::seconds(1));
          return;
        }
        const client::WatchEnd end = client_.Watch(
            request_, [this](const v1::StreamStatusResponse& element) { Take(element); }, stop);
        MutexLock lock(mu_);
        end_ = end.status;
      }) {
  // The checkpoint that comes at once says that nothing from now on is missed.
  EXPECT_TRUE(Await([this] { return !ResumeToken().empty() || End().has_value(); }));
}

Watcher::~Watcher() { worker_.Stop(); }

void Watcher::Take(const v1::StreamStatusResponse& element) {
  MutexLock lock(mu_);
  token_ = element.resume_token();
  if (!element.has_change()) return;
  const v1::StatusChange& change = element.change();
  changes_.push_back({change.message_id(), change.revision(), change.state()});
}

std::vector<StreamedChange> Watcher::Changes() const {
  MutexLock lock(mu_);
  return changes_;
}

std::size_t Watcher::ChangeCount() const {
  MutexLock lock(mu_);
  return changes_.size();
}

std::string Watcher::ResumeToken() const {
  MutexLock lock(mu_);
  return token_;
}

std::optional<absl::Status> Watcher::End() const {
  MutexLock lock(mu_);
  return end_;
}

std::string ReadmeBlock(const std::string& file, const std::string& language,
                        const std::string& words) {
  const std::string readme = ReadWholeFile(StrCat(SOURCE_DIR, "/", file));
  const std::string fence = "\n```" + language + "\n";
  for (std::size_t at = readme.find(fence); at != readme.npos; at = readme.find(fence, at + 1)) {
    const std::size_t begin = at + fence.size();
    std::string block = readme.substr(begin, readme.find("```\n", begin) - begin);
    if (block.find(words) != block.npos) return block;
  }
  ADD_FAILURE() << file << " has no block of " << language << " with " << words;
  return "";
}

void ExpectExampleTellsWhyItWasRefused(const Rig& rig, const ExampleRun& run) {
  using ::testing::AllOf;
  using ::testing::HasSubstr;
  const CommandResult bad = run("12345", rig.Token());
  EXPECT_EQ(bad.exit.status, 3);
  EXPECT_THAT(bad.err, AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("reason: INVALID_FIELD"),
                             HasSubstr("field recipient: ")));
  const CommandResult stranger = run(kRecipient, "prt_nobody");
  EXPECT_EQ(stranger.exit.status, 3);
  EXPECT_THAT(stranger.err,
              AllOf(HasSubstr("UNAUTHENTICATED"), HasSubstr("reason: TOKEN_INVALID")));
}

}  // namespace postrider
