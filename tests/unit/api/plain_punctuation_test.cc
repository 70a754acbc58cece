#include <gmock/gmock.h>

#include "tests/unit/api/message_service_fixture.h"

// A tenant whose texts are sent with plain punctuation.
namespace postrider {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PlainPunctuationTest : public MessageServiceTest {
 protected:
  PlainPunctuationTest() { Set(true); }

  void Set(bool plain) {
    const auto tenants = store_.LoadTenants();
    ASSERT_TRUE(tenants.ok());
    TenantRow tenant = tenants->front();
    tenant.plain_punctuation = plain;
    tenant.campaigns = {{.campaign_id = "spring",
                         .templates = {"offer"},
                         .forbidden_words = {"can\u2019t lose"},
                         .opt_out_text = "Don\u2019t want it? Reply STOP"},
                        {.campaign_id = "word", .forbidden_words = {"can\u2019t lose"}}};
    tenant.templates = {{"offer", "It\u2019s {what} \u2014 Don\u2019t want it? Reply STOP"}};
    store_.SetSetup(tenant);
    ASSERT_TRUE(tenants_.Refresh().ok());
  }
  static v1::SendMessageRequest With(const std::string& text, const std::string& request_id) {
    v1::SendMessageRequest request = Good(request_id);
    request.set_text(text);
    return request;
  }
  v1::SendMessageResponse Sent(const v1::SendMessageRequest& request) {
    v1::SendMessageResponse response;
    const grpc::Status status = Send(request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  Decoded Refused(const v1::SendMessageRequest& request) {
    v1::SendMessageResponse response;
    return Decoded(Send(request, response));
  }
  std::string StoredText(const std::string& request_id) {
    const auto record = store_.GetMessageByRequest(kTenant, request_id);
    EXPECT_TRUE(record.ok()) << record.status();
    return record.ok() ? record->message.request.text : "";
  }
};

TEST_F(PlainPunctuationTest, TheTextIsReplacedCountedKeptAndToldOf) {
  // 100 characters: two segments as they are.
  const std::string text = "It\u2019s " + std::string(95, 'a');
  const v1::SendMessageResponse sent = Sent(With(text, "one"));
  EXPECT_EQ(sent.message().text(), "It's " + std::string(95, 'a'));
  EXPECT_EQ(sent.encoding(), v1::TEXT_ENCODING_GSM7);
  EXPECT_EQ(sent.segment_count(), 1);
  EXPECT_THAT(sent.warnings(),
              ElementsAre("typographic signs were replaced by plain ones: RIGHT SINGLE QUOTATION "
                          "MARK"));
  EXPECT_EQ(StoredText("one"), sent.message().text());

  v1::SendMessageRequest only_checked = With(text, "two");
  only_checked.set_validate_only(true);
  EXPECT_EQ(Sent(only_checked).message().text(), sent.message().text());
  EXPECT_THAT(Sent(With("Hello", "three")).warnings(), IsEmpty());

  const v1::SendMessageResponse kept = Sent(With("It\u2019s \u0416", "four"));
  EXPECT_EQ(kept.message().text(), "It\u2019s \u0416");
  EXPECT_THAT(kept.warnings(0), HasSubstr("stay as they are"));
  EXPECT_EQ(StoredText("four"), "It\u2019s \u0416");

  Set(false);
  const v1::SendMessageResponse as_asked = Sent(With(text, "five"));
  EXPECT_EQ(as_asked.message().text(), text);
  EXPECT_EQ(as_asked.segment_count(), 2);
}

TEST_F(PlainPunctuationTest, SoIsEachOfMany) {
  context_ = Context();
  const auto call = stub_->SendMessages(context_.get());
  v1::SendMessagesRequest one;
  *one.mutable_request() = With("\u201cOn\u201d", "one");
  ASSERT_TRUE(call->Write(one));
  v1::SendMessagesResponse verdict;
  ASSERT_TRUE(call->Read(&verdict));
  EXPECT_EQ(verdict.accepted().message().text(), "\"On\"");
  EXPECT_EQ(verdict.accepted().warnings_size(), 1);
  ASSERT_TRUE(call->WritesDone());
  EXPECT_TRUE(call->Finish().ok());
}

TEST_F(PlainPunctuationTest, ARepeatGivesTheFirstMessageWhateverIsSetMeanwhile) {
  for (const bool at_first : {true, false}) {
    Set(at_first);
    const std::string id = at_first ? "plain" : "typographic";
    const v1::SendMessageResponse first = Sent(With("It\u2019s", id));
    for (const bool then : {true, false}) {
      Set(then);
      const v1::SendMessageResponse again = Sent(With("It\u2019s", id));
      EXPECT_TRUE(again.deduplicated()) << at_first << then;
      EXPECT_EQ(again.message().text(), first.message().text());
      v1::SendMessageRequest checked = With("It\u2019s", id);
      checked.set_validate_only(true);
      EXPECT_TRUE(Sent(checked).deduplicated()) << at_first << then;
      // What would be refused anyhow is compared with the first one, too.
      v1::SendMessageRequest other = With("It\u2019s", id);
      other.set_campaign_id("gone");
      EXPECT_EQ(Refused(other).info.metadata().at("fields"), "campaign_id") << at_first << then;
    }
  }
}

TEST_F(PlainPunctuationTest, WhatDiffersIsNamedTruly) {
  Sent(With("It\u2019s", "one"));
  const struct {
    const char* text;
    const char* metadata;
    const char* fields;
  } cases[] = {
      {"It\u2019s", "other", "metadata"},
      {"It\u2019s not", "", "text"},
      {"It's", "", "text"},  // another body, although the same would be sent
      {"It\u2019s not", "other", "text,metadata"},
  };
  for (const auto& c : cases) {
    v1::SendMessageRequest request = With(c.text, "one");
    if (*c.metadata != '\0') (*request.mutable_metadata())["key"] = c.metadata;
    const Decoded refused = Refused(request);
    EXPECT_EQ(refused.info.reason(), "REQUEST_ID_REUSED") << c.text;
    EXPECT_EQ(refused.info.metadata().at("fields"), c.fields) << c.text;
  }
}

TEST_F(PlainPunctuationTest, RulesAreReadWithPlainPunctuationToo) {
  const auto of = [](const std::string& campaign, v1::SendMessageRequest request) {
    request.set_campaign_id(campaign);
    return request;
  };
  int n = 0;
  for (const std::string q : {"\u2019", "'"}) {
    ++n;
    const std::string offer = "It" + q + "s a pen \u2014 Don" + q + "t want it? Reply STOP";
    EXPECT_EQ(Sent(of("spring", With(offer, StrCat("offer-", n)))).message().text(),
              "It's a pen - Don't want it? Reply STOP");
    EXPECT_EQ(Refused(of("word", With("You can" + q + "t lose", StrCat("word-", n)))).info.reason(),
              "CONTENT_NOT_APPROVED");
  }
  const Decoded placed(Refused(of("word", With("\u2026\u2026 You can\u2019t lose", "placed"))));
  EXPECT_THAT(placed.precondition.violations(0).description(), HasSubstr("characters 8 to 17"))
      << "of the text as it was asked";
  // One that stays as it is is held against the rules as they are.
  EXPECT_EQ(Refused(of("word", With("You can\u2019t lose \u0416", "stays"))).info.reason(),
            "CONTENT_NOT_APPROVED");
  v1::SendMessageRequest by_template = of("spring", Good("by-template"));
  by_template.mutable_template_()->set_name("offer");
  (*by_template.mutable_template_()->mutable_values())["what"] = "a \u201cpen\u201d";
  EXPECT_EQ(Sent(by_template).message().text(), "It's a \"pen\" - Don't want it? Reply STOP");
}

}  // namespace
}  // namespace postrider
