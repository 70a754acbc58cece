#pragma once

#include <array>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/ids.h"
#include "server/sandbox/sandbox.h"
#include "tests/e2e/rig.h"

namespace postrider {

/// Several gateways on one database, and the Genesys that all send to, which outlives them.
class SeveralGatewaysTest : public ::testing::Test {
 protected:
  static constexpr const char* kClientId = "genesys-client";
  static constexpr const char* kClientSecret = "genesys-secret";
  /// Further tenants, each of which is its own client of Genesys.
  static constexpr std::array<const char*, 4> kTenants = {"north", "east", "south", "west"};

  /// The replica that owns all slots; empty when there is none such.
  std::string OwnerOfAll() const {
    return sql_.Text(
        "SELECT min(r.name) FROM slot_lease l LEFT JOIN replica r ON r.replica_id = l.owner "
        "HAVING count(r.replica_id) = count(*) AND count(DISTINCT l.owner) = 1");
  }

  /// How many slots each has that has some, least first: "8 8".
  std::string Shares() const {
    return sql_.Text(
        "SELECT string_agg(n::text, ' ' ORDER BY n) FROM (SELECT count(*) AS n FROM slot_lease "
        "WHERE owner IS NOT NULL GROUP BY owner) shares");
  }
  /// The replica that dispatches the tenant.
  std::string OwnerOfTheTenant() const {
    const auto tenant = TenantId::Parse(sql_.Text("SELECT tenant_id FROM tenant"));
    return sql_.Text(
        StrCat("SELECT r.name FROM slot_lease l JOIN replica r ON r.replica_id = "
               "l.owner WHERE l.slot = ",
               SlotOf(*tenant)));
  }

  /// The name of the replica that sends for the default tenant; empty when nobody does.
  std::string Owner() const {
    const auto tenant =
        TenantId::Parse(sql_.Text("SELECT tenant_id FROM tenant WHERE name = 'default'"));
    if (!tenant.ok()) return "";
    return sql_.Text(StrCat("SELECT r.name FROM slot_lease l JOIN replica r ",
                            "ON r.replica_id = l.owner WHERE l.slot = ", SlotOf(*tenant)));
  }

  /// So many replicas have all slots, each about as many.
  bool AreShared(int replicas) const {
    return sql_.Text(StrCat("SELECT count(*) = ", replicas,
                            " AND sum(n) = 16 AND max(n) - min(n) <= 1 FROM (SELECT count(*) AS n "
                            "FROM slot_lease l JOIN replica r ON r.replica_id = l.owner "
                            "GROUP BY l.owner) s")) == "t";
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
      acknowledged_.push_back(Acknowledged(*sent));
    }
  }
  static AcknowledgedSend Acknowledged(const v1::SendMessageResponse& answer) {
    const v1::Message& message = answer.message();
    return {message.request_id(), message.message_id(), message.recipient(), message.sender(),
            message.text()};
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
    for (const LedgerPost& post : WithMessageIds(sql_, Posts())) {
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
    flags.insert(flags.end(), {"--replica-name", name, "--genesys-base-url", genesys_.base_url(),
                               "--genesys-token-url", genesys_.token_url(), "--genesys-client-id",
                               kClientId, "--genesys-client-secret-file",
                               PrivateFile("genesys.secret", kClientSecret), "--senders", kSender});
    return std::make_unique<GatewayProcess>(GatewayProcess::Options{
        .database_url = database_.url(), .flags = std::move(flags), .sandbox = false});
  }

  /// `token_file` empty: the default tenant's.
  static std::unique_ptr<Client> ClientOf(const GatewayProcess& gateway,
                                          const std::string& token_file = "") {
    auto opened =
        Client::Open({.address = gateway.grpc_address(),
                      .token_file = token_file.empty() ? gateway.token_file() : token_file});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  /// A further tenant in `slot`, with a sender; its webhook's key is its name. The file of its
  /// token.
  std::string AddTenant(const std::string& name, int slot, double rate_per_s, int burst) {
    TenantId tenant;
    do {
      tenant = {MakeUuidV4(random_)};
    } while (SlotOf(tenant) != slot);
    const std::string id = StrCat("'", tenant.ToString(), "', ");
    sql_.Ask(StrCat("INSERT INTO tenant (tenant_id, name, base_url, send_path, token_url, ",
                    "client_id, client_secret_file, webhook_key, rate_per_s, burst) VALUES (", id,
                    "'", name, "', '", genesys_.base_url(), "', '", Sandbox::Options().send_path,
                    "', '", genesys_.token_url(), "', '", name, "', '",
                    PrivateFile("genesys.secret", kClientSecret), "', '", name, "', ", rate_per_s,
                    ", ", burst, ")"));
    sql_.Ask(StrCat("INSERT INTO sender (tenant_id, sender_id, address) VALUES (", id,
                    "gen_random_uuid(), '", kSender, "')"));
    sql_.Ask(StrCat("INSERT INTO api_token (tenant_id, token_sha256, name, scopes) VALUES (", id,
                    "sha256('prt_", name, "'), 'token', '{send,read}')"));
    return PrivateFile(name + ".token", "prt_" + name);
  }

  std::string PrivateFile(const std::string& name, const std::string& line) const {
    std::string path = dir_.path() + "/" + name;
    std::ofstream(path) << line << "\n";
    ::chmod(path.c_str(), 0600);
    return path;
  }

  static std::vector<SandboxClient> Clients() {
    std::vector<SandboxClient> clients = {{kClientId, Secret(kClientSecret)}};
    for (const char* name : kTenants) clients.push_back({name, Secret(kClientSecret)});
    return clients;
  }

  const TestDatabase database_;
  const TestDir dir_;
  const Sql sql_{database_.url()};
  const SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  Sandbox genesys_{
      {.clients = Clients(),
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
