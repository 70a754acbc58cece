// What callers see of what was dropped and erased while the gateway runs.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include "client/error.h"
#include "server/base/strings.h"
#include "server/store/pg_store.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;

constexpr const char* kLongAgo = "016f8000-0000-7000-8000-000000000001";  // January 2020

class RetentionE2eTest : public ::testing::Test {
 protected:
  /// The first element of a stream, of a snapshot the first after the checkpoint, and how the
  /// stream ended when there was none.
  v1::StreamStatusResponse FirstOf(const v1::StreamStatusRequest& request, client::Error* error) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + rig_.Token());
    const auto stream = stub_->StreamStatus(&context, request);
    v1::StreamStatusResponse element;
    bool read = stream->Read(&element);
    if (read && request.include_snapshot()) read = stream->Read(&element);
    if (read) {
      context.TryCancel();
    } else {
      *error = client::DecodeError(stream->Finish());
    }
    return element;
  }

  client::Error StatusOf(const std::string& id, v1::GetStatusResponse& response) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + rig_.Token());
    v1::GetStatusRequest request;
    request.set_message_id(id);
    return client::DecodeError(stub_->GetStatus(&context, request, &response));
  }

  /// Makes the message `id` once more, as one of long ago in a partition of its own.
  void CopyToLongAgo(const std::string& id) {
    rig_.sql.Ask(
        "CREATE TABLE message20200101 PARTITION OF message FOR VALUES FROM "
        "('016f0000-0000-7000-8000-000000000000') TO ('01700000-0000-7000-8000-000000000000')");
    rig_.sql.Ask(StrCat(
        "INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object('message_id', '",
        kLongAgo, "', 'request_id', 'of-long-ago'))).* FROM message m WHERE message_id = '", id,
        "'"));
  }

  /// All ticks until now become older than they are kept, and go.
  void ForgetTicks() {
    const std::int64_t last = rig_.sql.Number("SELECT max(tick_no) FROM tick");
    const auto newest = [this] { return rig_.sql.Number("SELECT max(tick_no) FROM tick"); };
    ASSERT_TRUE(Await([&] { return newest() > last + 2; }));
    rig_.sql.Ask(
        StrCat("UPDATE tick SET at = now() - interval '73 hours' WHERE tick_no <= ", last));
    ASSERT_TRUE(store_.ForgetSome().ok());
  }

  Rig rig_;
  SystemClock clock_;
  OsRandom random_;
  PgStore store_{clock_, random_, {.pool = {.conninfo = rig_.database->url(), .max_sessions = 1}}};
  const std::unique_ptr<v1::MessageService::Stub> stub_ =
      v1::MessageService::NewStub(rig_.NewChannel());
};

TEST_F(RetentionE2eTest, TokensAndIdsOfWhatIsGoneAreRefusedHonestlyAndTheRestIsThere) {
  const std::string kept = rig_.Send(RequestTo(kRecipient));
  rig_.AwaitState(kept, v1::MESSAGE_STATE_DELIVERED);
  CopyToLongAgo(kept);
  v1::GetStatusResponse status;
  EXPECT_EQ(StatusOf(kLongAgo, status).reason, "");
  client::Error error;
  const std::string old_token = FirstOf({}, &error).resume_token();
  ASSERT_FALSE(old_token.empty()) << error.message;

  ASSERT_NO_FATAL_FAILURE(ForgetTicks());
  // What it remembers of the last minutes would do; in truth ticks are forgotten after days.
  rig_.gateway.Stop();
  ASSERT_TRUE(rig_.gateway.Start());
  const auto drops = store_.DropOld(KeepTimes{}, std::stop_token());
  ASSERT_TRUE(drops.ok()) << drops.status();
  EXPECT_THAT(drops->dropped, ::testing::ElementsAre("message20200101"));

  EXPECT_EQ(StatusOf(kLongAgo, status).reason, "MESSAGE_NOT_FOUND");
  EXPECT_EQ(StatusOf(kept, status).reason, "");
  EXPECT_EQ(status.history_size(), 5);

  v1::StreamStatusRequest resume;
  resume.set_resume_token(old_token);
  FirstOf(resume, &error);
  EXPECT_EQ(error.code, absl::StatusCode::kOutOfRange);
  EXPECT_EQ(error.reason, "RESUME_TOKEN_EXPIRED");
  resume.set_resume_token(error.metadata["oldest_resume_token"]);
  error = {};
  EXPECT_NE(FirstOf(resume, &error).resume_token(), "") << error.message;
  v1::StreamStatusRequest snapshot;
  snapshot.set_include_snapshot(true);
  EXPECT_EQ(FirstOf(snapshot, &error).snapshot().status().message_id(), kept);
}

TEST_F(RetentionE2eTest, TheCommandLineSaysThatATextWasErased) {
  const std::string id = rig_.Send(RequestTo(kRecipient, "A secret"));
  rig_.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  rig_.sql.Ask(
      StrCat("UPDATE message SET body = '', metadata = '{}' WHERE message_id = '", id, "'"));
  const CommandResult shown =
      RunCommand({POSTRIDER, "status", id},
                 {"POSTRIDER_ADDRESS=" + rig_.gateway.grpc_address(),
                  "POSTRIDER_TOKEN_FILE=" + rig_.gateway.token_file(), "NO_COLOR=1"});
  EXPECT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("(erased)"));
  EXPECT_THAT(shown.out, HasSubstr(kRecipient));
}

}  // namespace
}  // namespace postrider
