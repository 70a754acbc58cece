#include "client/cli/request_file.h"

#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider::cli {
namespace {

v1::SendMessageRequest Defaults() {
  v1::SendMessageRequest defaults;
  defaults.set_sender("Acme");
  return defaults;
}

std::vector<FileRequest> ReadAll(const std::string& text, FileFormat format,
                                 const std::string& run = "") {
  std::istringstream in(text);
  const auto file = RequestFile::Open(in, format, Defaults(), run);
  EXPECT_TRUE(file.ok()) << file.status();
  std::vector<FileRequest> requests;
  while (auto next = (*file)->Next()) requests.push_back(*std::move(next));
  return requests;
}

std::set<std::string> IdsOf(const std::vector<FileRequest>& requests) {
  std::set<std::string> ids;
  for (const FileRequest& r : requests) ids.insert(r.request->request_id());
  return ids;
}

TEST(RequestFileTest, CsvLinesBecomeRequestsAndBadOnesErrors) {
  const auto requests = ReadAll(
      "recipient,text,metadata.order,priority,sender\n"
      "+15550000001,\"hello, you\",7,urgent,\n"
      "+15550000002,short\n"
      "+15550000003,long,1,,,extra\n"
      "+15550000004,text,,asap,\n"
      "+15550000005,\xFF,,,\n"
      "+15550000006,bye,,,Other\n",
      FileFormat::kCsv);
  ASSERT_EQ(requests.size(), 6U);
  ASSERT_TRUE(requests[0].request.ok());
  EXPECT_EQ(requests[0].line, 2U);
  EXPECT_EQ(requests[0].request->text(), "hello, you");
  EXPECT_EQ(requests[0].request->sender(), "Acme") << "an empty cell leaves the default";
  EXPECT_EQ(requests[0].request->metadata().at("order"), "7");
  EXPECT_EQ(requests[0].request->priority(), v1::PRIORITY_URGENT);
  const char* errors[] = {
      "has 2 fields, the header row has 5", "has 6 fields, the header row has 5",
      "priority: 'asap' is not one of urgent, normal, bulk", "text: byte 1 is not UTF-8"};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(requests[i + 1].line, i + 3);
    EXPECT_EQ(requests[i + 1].request.status().message(), errors[i]);
  }
  EXPECT_EQ(requests[5].request->sender(), "Other");
  EXPECT_TRUE(requests[5].request->metadata().empty()) << "an empty cell is not set";
}

TEST(RequestFileTest, HeaderTable) {
  struct Case {
    const char* header;
    const char* error;  ///< Its beginning.
  };
  const Case cases[] = {
      {"", "the file is empty"},
      {"recipient\n", "there is no column 'text'"},
      {"text,sender\n", "there is no column 'recipient'"},
      {"recipient,text,text\n", "column 'text' is there twice"},
      {"recipient,text,phone\n", "column 'phone' is not a field; there are recipient"},
      {"recipient,\"text\n", "a quoted field is not closed"},
      {"recipient,text\n", "there is no column 'sender'"},
  };
  for (const Case& c : cases) {
    std::istringstream in(c.header);
    const auto file = RequestFile::Open(in, FileFormat::kCsv, {}, "");
    ASSERT_FALSE(file.ok()) << c.header;
    EXPECT_TRUE(ToStd(file.status().message()).starts_with(c.error)) << file.status();
  }
}

TEST(RequestFileTest, JsonLinesBecomeRequestsAndBadOnesErrors) {
  const auto requests = ReadAll(
      "{\"recipient\":\"+15550000001\",\"text\":\"hi\",\"metadata\":{\"a\":\"b\"},"
      "\"priority\":\"PRIORITY_BULK\",\"not_before\":\"1970-01-01T00:00:07Z\"}\n"
      "\n"
      "{\"recipient\":\n"
      "{\"phone\":\"+1\"}\n"
      "{\"text\":\"\xFF\"}\n"
      "{\"recipient\":\"+15550000002\",\"text\":\"yo\",\"sender\":\"Other\"}\n",
      FileFormat::kJsonl);
  ASSERT_EQ(requests.size(), 5U);
  ASSERT_TRUE(requests[0].request.ok()) << requests[0].request.status();
  EXPECT_EQ(requests[0].request->sender(), "Acme");
  EXPECT_EQ(requests[0].request->metadata().at("a"), "b");
  EXPECT_EQ(requests[0].request->not_before().seconds(), 7);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(requests[i].line, i + 2);
    EXPECT_TRUE(absl::IsInvalidArgument(requests[i].request.status()));
  }
  EXPECT_EQ(requests[4].request->sender(), "Other");
}

TEST(RequestFileTest, ALineKeepsItsOwnRequestId) {
  const auto requests = ReadAll("recipient,text,request_id\n+15550000001,a,mine\n+15550000001,a,\n",
                                FileFormat::kCsv);
  EXPECT_EQ(requests[0].request->request_id(), "mine");
  EXPECT_TRUE(requests[1].request->request_id().starts_with("line-"));
}

TEST(DerivedIdTest, TheSameContentHasTheSameIdHoweverItIsWritten) {
  const std::string first =
      IdsOf(
          ReadAll("recipient,text,metadata.b,metadata.a\n+15550000001,hi,2,1\n", FileFormat::kCsv))
          .begin()
          ->c_str();
  const char* same[] = {
      "metadata.a,metadata.b,sender,text,recipient\r\n1,2,Acme,\"hi\",+15550000001\r\n",
      "recipient,text,metadata.b,metadata.a,priority,duplicate_policy\n\n"
      "+15550000001,hi,2,1,normal,at_most_once\n",
  };
  for (const char* text : same) {
    EXPECT_EQ(IdsOf(ReadAll(text, FileFormat::kCsv)), std::set<std::string>{first}) << text;
  }
  EXPECT_EQ(IdsOf(ReadAll("{\"text\":\"hi\",\"metadata\":{\"a\":\"1\",\"b\":\"2\"},"
                          "\"recipient\":\"+15550000001\"}\n",
                          FileFormat::kJsonl)),
            std::set<std::string>{first});
}

TEST(DerivedIdTest, EveryFieldAndTheRunMakeADifference) {
  const char* columns[] = {"conversation_id", "external_contact_id", "campaign_id", "time_zone",
                           "metadata.k"};
  std::set<std::string> ids = IdsOf(ReadAll("recipient,text\n+1,x\n", FileFormat::kCsv));
  std::size_t expected = 1;
  const auto add = [&](const std::string& text, const std::string& run = "") {
    ids.merge(IdsOf(ReadAll(text, FileFormat::kCsv, run)));
    ++expected;
  };
  for (const char* column : columns) add(StrCat("recipient,text,", column, "\n+1,x,y\n"));
  add("recipient,text,priority\n+1,x,bulk\n");
  add("recipient,text,duplicate_policy\n+1,x,at_least_once\n");
  add("recipient,text,not_before\n+1,x,2026-03-01T09:00:00Z\n");
  add("recipient,text,expire_at\n+1,x,2026-03-01T09:00:00Z\n");
  add("recipient,text,sender\n+1,x,Other\n");
  add("recipient,text\n+2,x\n");
  add("recipient,text\n+1,z\n");
  add("recipient,text\n+1,x\n", "again");
  EXPECT_EQ(ids.size(), expected);
}

TEST(DerivedIdTest, EqualLinesAreCountedSoEachIsSent) {
  const std::string file = "recipient,text\n+1,x\n+2,x\n+1,x\n+1,x\n";
  const auto requests = ReadAll(file, FileFormat::kCsv);
  EXPECT_EQ(IdsOf(requests).size(), 4U);
  EXPECT_TRUE(requests[0].request->request_id().ends_with("-1"));
  EXPECT_TRUE(requests[2].request->request_id().ends_with("-2"));
  EXPECT_TRUE(requests[3].request->request_id().ends_with("-3"));
  EXPECT_EQ(IdsOf(ReadAll(file, FileFormat::kCsv)), IdsOf(requests)) << "a second run is the same";
}

TEST(DerivedIdTest, TheIdsAreKeptOverVersions) {
  // A change of these would send files again that were sent with an earlier version.
  v1::SendMessageRequest request;
  request.set_recipient("+15550000001");
  request.set_sender("Acme");
  request.set_text("hi");
  EXPECT_EQ(DerivedIds("").NextOf(request), "line-c56a6849e9c0e21241924fc314309bed0a07e812-1");
  EXPECT_LE(DerivedIds("").NextOf(request)->size(), 64U);
}

}  // namespace
}  // namespace postrider::cli
