#include "server/api/grpc_server.h"

#include <grpc/support/log.h>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postrider/v1/message_service.pb.h"
#include "server/base/log.h"
#include "server/base/strings.h"

namespace postrider {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(GrpcServerTest, APortInUseIsAClearError) {
  GrpcServer first({}, {});
  const absl::StatusOr<int> port = first.Start();
  ASSERT_TRUE(port.ok());
  GrpcServer::Options options;
  options.address = StrCat("127.0.0.1:", *port);
  GrpcServer second(options, {});
  const absl::StatusOr<int> taken = second.Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(taken.status()));
  EXPECT_NE(taken.status().message().find("in use"), absl::string_view::npos);
}

TEST(GrpcServerTest, ACertificateThatCannotBeReadIsNamed) {
  GrpcServer::Options options;
  options.certificate_file = "/nonexistent.pem";
  options.key_file = "/nonexistent.key";
  GrpcServer server(options, {});
  const absl::StatusOr<int> port = server.Start();
  EXPECT_TRUE(absl::IsInvalidArgument(port.status()));
  EXPECT_NE(port.status().message().find("/nonexistent.pem"), absl::string_view::npos);
}

TEST(GrpcServerTest, WhatItsLibrariesSayIsALineOfTheLog) {
  GrpcServer server({}, {});
  ASSERT_TRUE(server.Start().ok());
  SetUpLog(LogFormat::kJson, LogLevel::kWarning);
  testing::internal::CaptureStderr();
  gpr_log(GPR_ERROR, "a line of %s", "gRPC");
  v1::SendMessageRequest request;
  EXPECT_FALSE(
      request.ParseFromString("\x22\x05"
                              "caf\xe9!"));
  FlushLog();
  const std::string said = testing::internal::GetCapturedStderr();
  SetUpLog(LogFormat::kConsole, LogLevel::kInfo);
  std::istringstream lines(said);
  std::vector<std::string> read;
  for (std::string line; std::getline(lines, line);) read.push_back(line);
  ASSERT_EQ(read.size(), 2U) << said;
  for (const std::string& line : read) {
    EXPECT_THAT(line, AllOf(StartsWith("{"), HasSubstr(R"("level":"warning")"), EndsWith("}")));
  }
  EXPECT_THAT(read[0], HasSubstr(R"("text":"a line of gRPC")"));
  EXPECT_THAT(read[1], AllOf(HasSubstr("SendMessageRequest.text"), Not(HasSubstr("caf"))));
}

}  // namespace
}  // namespace postrider
