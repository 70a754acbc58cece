#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "server/api/grpc_server.h"
#include "server/api/message_service.h"
#include "server/base/digest.h"
#include "server/store/breaker_directory.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_verdict_store.h"
#include "tests/unit/api/api_tenant.h"
#include "tests/unit/api/decoded_error.h"

namespace postrider {

/// The service on a real gRPC server, over a store in memory.
class MessageServiceTest : public testing::Test {
 protected:
  MessageServiceTest() {
    TenantRow tenant;
    tenant.tenant_id = kTenant;
    tenant.name = "one";
    tenant.client_id = "client-1";
    tenant.senders = {{{UuidOf(101)}, "+15559876543"}};
    EXPECT_TRUE(store_.PutTenant(tenant).ok());
    AddToken("good", {"send", "read"});
    AddToken("sender", {"send"});
    AddToken("reader", {"read"});
    EXPECT_TRUE(tenants_.Refresh().ok());
    reads_.Start();
    accept_.Start();
    refusals_.Start();
    content_.Start();
    const absl::StatusOr<int> port = server_.Start();
    EXPECT_TRUE(port.ok()) << port.status();
    port_ = *port;
    channel_ = grpc::CreateChannel(StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials());
    stub_ = v1::MessageService::NewStub(channel_);
  }
  ~MessageServiceTest() override {
    service_.RefuseNewCalls();
    content_.Drain(std::chrono::seconds(10));
    service_.EndStreams();
    server_.Drain(std::chrono::seconds(10));
    reads_.Drain();
  }

  void AddToken(const std::string& token, std::vector<std::string> scopes) {
    ApiTokenRow row;
    row.token_sha256 = Sha256Bytes(token);
    row.tenant_id = kTenant;
    row.scopes = std::move(scopes);
    EXPECT_TRUE(store_.AddToken(row).ok());
  }
  /// As the event feed does it.
  void Publish() {
    clock_.Advance(std::chrono::milliseconds(25));
    const Tick tick = *store_.MakeTick();
    EventBatch batch{published_, tick, {}};
    if (published_.number != 0) batch.events = *store_.EventsBetween(published_, tick, {});
    hub_.Publish(std::make_shared<const EventBatch>(std::move(batch)));
    published_ = tick;
  }

  static std::unique_ptr<grpc::ClientContext> Context(const std::string& token = "good") {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }
  static v1::SendMessageRequest Good(const std::string& request_id = "order-1") {
    v1::SendMessageRequest request;
    request.set_request_id(request_id);
    request.set_recipient("+15551234567");
    request.set_sender("+15559876543");
    request.set_text("hello");
    return request;
  }
  grpc::Status Send(const v1::SendMessageRequest& request, v1::SendMessageResponse& response,
                    const std::string& token = "good") {
    context_ = Context(token);
    return stub_->SendMessage(context_.get(), request, &response);
  }
  grpc::Status Cancel(const std::string& message_id) {
    v1::CancelMessageRequest request;
    request.set_message_id(message_id);
    v1::CancelMessageResponse response;
    return stub_->CancelMessage(Context().get(), request, &response);
  }
  /// Calls `path` with these bytes; what is answered is not looked at.
  grpc::Status CallRaw(const std::string& path, const std::string& bytes,
                       const std::string& token = "good") {
    grpc::GenericStub anyone(channel_);
    grpc::CompletionQueue queue;
    const auto context = Context(token);
    const auto call = anyone.PrepareCall(context.get(), path, &queue);
    void* tag = nullptr;
    bool ok = false;
    const auto wait = [&] { EXPECT_TRUE(queue.Next(&tag, &ok)); };
    call->StartCall(nullptr);
    wait();
    const grpc::Slice slice(bytes);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    wait();
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    wait();
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    queue.Shutdown();
    return status;
  }
  std::string Trailer(const std::string& name) {
    const auto& trailers = context_->GetServerTrailingMetadata();
    const auto found = trailers.find(name);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
  }

  FakeClock clock_;
  SeededRandom random_{7};
  FakeStore store_{clock_};
  Metrics metrics_;
  ReadPool reads_{metrics_, {.workers = 2}};
  Guard guard_{clock_, store_, reads_};
  TenantDirectory tenants_{store_};
  BreakerDirectory breakers_{store_};
  Hub hub_{metrics_, {.streams_per_tenant = 4}};
  AcceptCommit accept_{
      clock_, metrics_, {.name = "accept"}, [this](std::span<const NewMessage> batch) {
        return store_.Accept(batch);
      }};
  Mutex refused_mu_;
  std::vector<RefusalRow> refused_ ABSL_GUARDED_BY(refused_mu_);
  std::atomic<bool> fail_refusals_ = false;
  RefusalCommit refusals_{
      clock_,
      metrics_,
      {.name = "refusals"},
      [this](std::span<const RefusalRow> batch) -> absl::StatusOr<std::vector<bool>> {
        if (fail_refusals_) return absl::UnavailableError("away");
        MutexLock lock(refused_mu_);
        refused_.insert(refused_.end(), batch.begin(), batch.end());
        return std::vector<bool>(batch.size(), true);
      }};
  FakeVerdictStore verdicts_{clock_};
  Mutex asked_mu_;
  std::vector<ComplianceQuestion> asked_ ABSL_GUARDED_BY(asked_mu_);
  std::atomic<bool> check_away_ = false;
  /// Compliant is what does not say "loan".
  ContentCheck content_{clock_,
                        metrics_,
                        verdicts_,
                        [this](const ComplianceQuestion& question) -> ComplianceAnswer {
                          MutexLock lock(asked_mu_);
                          asked_.push_back(question);
                          if (check_away_) return {absl::UnavailableError("away")};
                          if (question.text.find("loan") == std::string::npos) {
                            return {ComplianceVerdict{.approved = true}};
                          }
                          return {ComplianceVerdict{.violations = {{"no_loans", "says \"loan\""}}}};
                        },
                        {}};
  std::atomic<int> accepted_ = 0;
  MessageService service_{
      {clock_, random_, metrics_, store_, accept_, refusals_, tenants_, guard_, reads_, hub_,
       [this](const Flow&) { ++accepted_; }, [] { return std::vector<LaneFacts>{}; },
       [this](TenantId tenant) { return breakers_.NextCanary(tenant); }, &content_}};
  GrpcServer server_{{}, {&service_}};
  Tick published_;
  int port_ = 0;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::MessageService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
};

}  // namespace postrider
