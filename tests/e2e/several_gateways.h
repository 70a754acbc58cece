#pragma once

#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/sandbox/sandbox.h"
#include "tests/e2e/rig.h"

namespace postrider {

/// Several gateways on one database, and the Genesys that all send to, which outlives them.
class SeveralGatewaysTest : public ::testing::Test {
 protected:
  static constexpr const char* kClientId = "genesys-client";
  static constexpr const char* kClientSecret = "genesys-secret";

  /// The replica that owns all slots; empty when there is none such.
  std::string OwnerOfAll() const {
    return sql_.Text(
        "SELECT min(r.name) FROM slot_lease l LEFT JOIN replica r ON r.replica_id = l.owner "
        "HAVING count(r.replica_id) = count(*) AND count(DISTINCT l.owner) = 1");
  }

  /// Who made the attempts, by name.
  std::set<std::string> Senders() const {
    std::set<std::string> names;
    for (const Sql::Row& row :
         sql_.Ask("SELECT DISTINCT r.name FROM attempt JOIN replica r USING (replica_id)")) {
      names.insert(row[0]);
    }
    return names;
  }

  /// Sends `count` messages by `client`, and keeps what was answered.
  void Send(const Client& client, int count) {
    for (int i = 0; i < count; ++i) {
      const int number = static_cast<int>(acknowledged_.size());
      const auto sent =
          client.Send(RequestTo(StrCat("+1555300", 1000 + number), StrCat("Text ", number)));
      ASSERT_TRUE(sent.ok()) << sent.status();
      const v1::Message& message = sent->message();
      acknowledged_.push_back({message.request_id(), message.message_id(), message.recipient(),
                               message.sender(), message.text()});
    }
  }

  std::vector<LedgerPost> Posts() const { return ReadLedger(LedgerFile()); }

  /// Everything that left is known to be delivered; the rest is in doubt, and nothing waits.
  void AwaitEnds() const {
    const auto count = [this](const char* where) {
      return sql_.Number(StrCat("SELECT count(*) FROM message WHERE ", where));
    };
    // 1, 2: queued, dispatching; 3: unknown; 7: delivered.
    EXPECT_TRUE(Await([&] { return count("state <= 2") == 0; }));
    std::set<std::string> left;
    for (const LedgerPost& post : Posts()) {
      if (post.processed) left.insert(post.message_id);
    }
    EXPECT_TRUE(Await(
        [&] { return count("state = 7 AND final") == static_cast<std::int64_t>(left.size()); }));
    EXPECT_EQ(count("state NOT IN (3, 7)"), 0);
    EXPECT_TRUE(Await([this] { return InboxIsAccountedFor(sql_).empty(); }));
  }

  Breaches Check(const std::vector<StreamedChange>& streamed) const {
    return CheckInvariants(sql_, Posts(), acknowledged_, streamed);
  }

  std::string LedgerFile() const { return dir_.path() + "/ledger.jsonl"; }

  std::unique_ptr<GatewayProcess> NewGateway(const std::string& name,
                                             std::vector<std::string> flags) {
    const std::string secret_file = dir_.path() + "/genesys.secret";
    std::ofstream(secret_file) << kClientSecret << "\n";
    ::chmod(secret_file.c_str(), 0600);
    flags.insert(flags.end(),
                 {"--replica-name", name, "--genesys-base-url", genesys_.base_url(),
                  "--genesys-token-url", genesys_.token_url(), "--genesys-client-id", kClientId,
                  "--genesys-client-secret-file", secret_file, "--senders", kSender});
    return std::make_unique<GatewayProcess>(GatewayProcess::Options{
        .database_url = database_.url(), .flags = std::move(flags), .sandbox = false});
  }

  static std::unique_ptr<Client> ClientOf(const GatewayProcess& gateway) {
    auto opened =
        Client::Open({.address = gateway.grpc_address(), .token_file = gateway.token_file()});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  const TestDatabase database_;
  const TestDir dir_;
  const Sql sql_{database_.url()};
  const SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  Sandbox genesys_{
      {.clients = {{kClientId, Secret(kClientSecret)}},
       .requests_per_minute = 0,
       .receipts = {.after = {std::chrono::milliseconds(20), std::chrono::milliseconds(40),
                              std::chrono::milliseconds(60)},
                    .retry_scale = 0.01},
       .ledger_file = LedgerFile()},
      clock_,
      random_,
      metrics_};
  std::vector<AcknowledgedSend> acknowledged_;
};

}  // namespace postrider
