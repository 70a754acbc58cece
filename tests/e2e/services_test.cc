// What a stranger finds on the gRPC port: health and reflection, and nothing else without a token.
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server/base/strings.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

namespace reflection = grpc::reflection::v1alpha;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

reflection::ServerReflectionResponse Reflect(grpc::Channel& channel,
                                             const reflection::ServerReflectionRequest& request) {
  const auto stub = reflection::ServerReflection::NewStub(
      std::shared_ptr<grpc::Channel>(&channel, [](grpc::Channel*) {}));
  grpc::ClientContext context;
  const auto stream = stub->ServerReflectionInfo(&context);
  reflection::ServerReflectionResponse response;
  stream->Write(request);
  stream->WritesDone();
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  return response;
}

/// "/package.Service/Method" of all services but gRPC's own.
std::set<std::string> MethodsOf(grpc::Channel& channel) {
  reflection::ServerReflectionRequest list;
  list.set_list_services("");
  std::set<std::string> methods;
  const reflection::ServerReflectionResponse services = Reflect(channel, list);
  for (const auto& service : services.list_services_response().service()) {
    if (service.name().starts_with("grpc.")) continue;
    reflection::ServerReflectionRequest ask;
    ask.set_file_containing_symbol(service.name());
    const reflection::ServerReflectionResponse files = Reflect(channel, ask);
    for (const std::string& bytes : files.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      EXPECT_TRUE(file.ParseFromString(bytes));
      for (const auto& described : file.service()) {
        const std::string name = StrCat(file.package(), ".", described.name());
        if (name != service.name()) continue;
        for (const auto& method : described.method()) {
          methods.insert(StrCat("/", name, "/", method.name()));
        }
      }
    }
  }
  return methods;
}

/// `token`: empty for none.
grpc::Status CallWith(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                      const std::string& token) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  grpc::CompletionQueue queue;
  const grpc::ByteBuffer request(nullptr, 0);
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return status;
}

TEST(ServicesTest, EveryCallThatReflectionListsRefusesAStranger) {
  Rig rig;
  const std::shared_ptr<grpc::Channel> channel = rig.NewChannel();
  const std::set<std::string> methods = MethodsOf(*channel);
  EXPECT_THAT(methods, IsSupersetOf({"/postrider.v1.MessageService/SendMessage",
                                     "/postrider.v1.MessageService/GetStatus",
                                     "/postrider.v1.MessageService/StreamStatus",
                                     "/postrider.v1.MessageService/CancelMessage"}));
  for (const std::string& method : methods) {
    const grpc::Status status = CallWith(channel, method, "");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(client::DecodeError(status).reason, "TOKEN_MISSING") << method;
  }
}

TEST(ServicesTest, EveryCallOfOperatorsRefusesAStrangerAndATenant) {
  Rig rig;
  const auto channel =
      grpc::CreateChannel(rig.gateway.admin_address(), grpc::InsecureChannelCredentials());
  const std::set<std::string> methods = MethodsOf(*channel);
  EXPECT_THAT(methods, IsSupersetOf({"/postrider.v1.AdminService/GetGatewayState",
                                     "/postrider.v1.AdminService/WatchGatewayState",
                                     "/postrider.v1.AdminService/PauseDispatch",
                                     "/postrider.v1.AdminService/ResumeDispatch",
                                     "/postrider.v1.AdminService/ListDeadLetters",
                                     "/postrider.v1.AdminService/ReplayDeadLetters"}));
  for (const std::string& method : methods) {
    EXPECT_TRUE(method.starts_with("/postrider.v1.AdminService/")) << method;
    const grpc::Status stranger = CallWith(channel, method, "");
    EXPECT_EQ(stranger.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(client::DecodeError(stranger).reason, "TOKEN_MISSING") << method;
    const grpc::Status tenant = CallWith(channel, method, rig.Token());
    EXPECT_EQ(tenant.error_code(), grpc::StatusCode::PERMISSION_DENIED) << method;
    EXPECT_EQ(client::DecodeError(tenant).reason, "SCOPE_MISSING") << method;
  }
}

TEST(ServicesTest, AnOperatorsTokenIsNoTenants) {
  Rig rig;
  const std::shared_ptr<grpc::Channel> channel = rig.NewChannel();
  for (const std::string& method : MethodsOf(*channel)) {
    EXPECT_FALSE(method.starts_with("/postrider.v1.AdminService/")) << method;
    const grpc::Status status = CallWith(channel, method, rig.OperatorToken());
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << method;
    EXPECT_EQ(client::DecodeError(status).reason, "SCOPE_MISSING") << method;
  }
}

TEST(ServicesTest, TheMetricsAreWellFormed) {
  Rig rig;
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  for (const char* name :
       {"postrider_webhook_ack_seconds_count", "postrider_inbox_oldest_seconds",
        "postrider_inbox_parked", "postrider_dead_letters", "postrider_spool_rows",
        "postrider_feed_lag_seconds", "postrider_inbox_unaccounted",
        "postrider_foreign_transaction_seconds"}) {
    std::string metrics;
    ASSERT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &metrics), 200);
    EXPECT_THAT(metrics, testing::HasSubstr(name));
  }
  const char* const promtool = std::getenv("PROMTOOL");
  if (promtool == nullptr) GTEST_SKIP() << "no promtool";
  const TestDir dir;
  std::string metrics;
  ASSERT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &metrics), 200);
  std::ofstream(dir.path() + "/metrics") << metrics;
  const CommandResult checked =
      RunCommand({"sh", "-c", StrCat(promtool, " check metrics < ", dir.path(), "/metrics")});
  EXPECT_EQ(checked.exit.status, 0) << checked.out << checked.err;
}

TEST(ServicesTest, HealthTellsWhetherItServes) {
  Rig rig;
  const auto admin =
      grpc::CreateChannel(rig.gateway.admin_address(), grpc::InsecureChannelCredentials());
  for (const char* service : {"", "postrider.v1.MessageService", "postrider.v1.AdminService"}) {
    const bool is_admin = std::string_view(service).ends_with("AdminService");
    const auto health = grpc::health::v1::Health::NewStub(is_admin ? admin : rig.NewChannel());
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = health->Check(&context, request, &response);
    EXPECT_TRUE(status.ok()) << service << ": " << status.error_message();
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING) << service;
  }
}

TEST(ServicesTest, OperatorsSeeItAliveReadyAndMeasured) {
  Rig rig;
  rig.AwaitState(rig.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(HttpGet(rig.gateway.ops_url() + "/healthz"), 200);
  std::string text;
  EXPECT_EQ(HttpGet(rig.gateway.ops_url() + "/metrics", &text), 200);
  EXPECT_THAT(text, ::testing::HasSubstr("postrider_posts_total{outcome=\"ACCEPTED\"} 1"));
}

}  // namespace
}  // namespace postrider
