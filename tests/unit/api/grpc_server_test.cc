#include "server/api/grpc_server.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

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

}  // namespace
}  // namespace postrider
