// What a stranger finds on the gRPC port: health and reflection, and nothing else without a token.
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server/base/strings.h"
#include "tests/e2e/rig.h"

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

grpc::Status CallWithoutToken(const std::shared_ptr<grpc::Channel>& channel,
                              const std::string& method) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
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
    const grpc::Status status = CallWithoutToken(channel, method);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(client::DecodeError(status).reason, "TOKEN_MISSING") << method;
  }
}

TEST(ServicesTest, HealthTellsWhetherItServes) {
  Rig rig;
  const auto health = grpc::health::v1::Health::NewStub(rig.NewChannel());
  for (const char* service : {"", "postrider.v1.MessageService"}) {
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
