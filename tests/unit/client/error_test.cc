#include "client/error.h"

#include <gtest/gtest.h>

#include "tests/unit/client/fake_gateway.h"

namespace postrider::client {
namespace {

using namespace std::chrono_literals;

TEST(ErrorTest, EveryDetailIsDecodedAndSurvivesTheWayThroughAbslStatus) {
  google::rpc::ErrorInfo info = Reason("QUOTA_EXCEEDED");
  (*info.mutable_metadata())["limit"] = "5";
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  google::rpc::QuotaFailure quota;
  auto* exceeded = quota.add_violations();
  exceeded->set_subject("tenant");
  exceeded->set_description("5 a second");
  google::rpc::RequestInfo request;
  request.set_request_id("q-1");
  const grpc::Status status =
      RichStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many", info, retry, quota, request);
  for (const Error& error : {DecodeError(status), DecodeError(ToAbslStatus(status))}) {
    EXPECT_EQ(error.code, absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(error.message, "too many");
    EXPECT_EQ(error.reason, "QUOTA_EXCEEDED");
    EXPECT_EQ(error.metadata.at("limit"), "5");
    EXPECT_EQ(error.retry_after, 2000ms);
    EXPECT_EQ(error.server_request_id, "q-1");
    ASSERT_EQ(error.violations.size(), 1U);
    EXPECT_EQ(error.violations[0].subject, "tenant");
    EXPECT_EQ(error.violations[0].description, "5 a second");
  }
}

TEST(ErrorTest, DescriptionNamesEveryViolationByItsField) {
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("recipient");
  bad.mutable_field_violations(0)->set_description("must be E.164");
  bad.add_field_violations()->set_field("text");
  bad.mutable_field_violations(1)->set_description("must not be empty");
  const grpc::Status status = RichStatus(grpc::StatusCode::INVALID_ARGUMENT, "2 fields are wrong",
                                         Reason("INVALID_FIELD"), bad);
  EXPECT_EQ(DescribeError(DecodeError(status)),
            "INVALID_FIELD: 2 fields are wrong - recipient: must be E.164; "
            "text: must not be empty");
}

TEST(ErrorTest, DescriptionTellsTheMetadataThatNothingElseSays) {
  Error error;
  error.reason = "X";
  error.message = "the 50 characters of the text break rule links";
  error.metadata = {{"conversation_id", "c-1"},
                    {"limit", "5"},
                    {"resume_token", "t"},
                    {"rules", "links"},
                    {"used", "link"}};
  EXPECT_EQ(DescribeError(error),
            "X: the 50 characters of the text break rule links - conversation_id c-1, limit 5, "
            "used link");
}

TEST(ErrorTest, PreconditionsAreViolationsOfTheirSubjectOrElseTheirType) {
  google::rpc::PreconditionFailure failed;
  failed.add_violations()->set_type("OPT_OUT");
  failed.add_violations()->set_subject("conversation_id");
  const Error error = DecodeError(RichStatus(grpc::StatusCode::FAILED_PRECONDITION, "no", failed));
  ASSERT_EQ(error.violations.size(), 2U);
  EXPECT_EQ(error.violations[0].subject, "OPT_OUT");
  EXPECT_EQ(error.violations[1].subject, "conversation_id");
}

TEST(ErrorTest, AnErrorThatIsNotTheGatewaysHasItsCodeForAReason) {
  const Error error = DecodeError(grpc::Status(grpc::StatusCode::UNAVAILABLE, "refused", "\xFF"));
  EXPECT_EQ(error.reason, "");
  EXPECT_EQ(DescribeError(error), "UNAVAILABLE: refused");
}

TEST(ErrorTest, PrintableTable) {
  struct Case {
    const char* name;
    std::string text;
    std::string shown;
  };
  const Case cases[] = {
      {"plain and accented", "Grüße, 東京", "Grüße, 東京"},
      {"an escape sequence", "\033[2Jgone\a", "?[2Jgone?"},
      {"line ends", "two\r\nlines", "two??lines"},
      {"the control characters above U+007F",
       "a\x7F\xC2\x9B"
       "b",
       "a??b"},
      {"U+00A0 is no control character",
       "a\xC2\xA0"
       "b",
       "a\xC2\xA0"
       "b"},
  };
  for (const Case& c : cases) EXPECT_EQ(Printable(c.text), c.shown) << c.name;
}

}  // namespace
}  // namespace postrider::client
