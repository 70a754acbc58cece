#include "tests/e2e/several_gateways.h"

#include <fstream>
#include <sys/stat.h>

#include "server/base/strings.h"
#include "server/model/ids.h"

namespace postrider {

std::vector<SandboxClient> SeveralGatewaysTest::Clients() {
  std::vector<SandboxClient> clients = {{kClientId, Secret(kClientSecret)}};
  for (const char* name : kTenants) clients.push_back({name, Secret(kClientSecret)});
  return clients;
}

std::string SeveralGatewaysTest::PrivateFile(const std::string& name,
                                             const std::string& line) const {
  std::string path = dir_.path() + "/" + name;
  std::ofstream(path) << line << "\n";
  ::chmod(path.c_str(), 0600);
  return path;
}

std::unique_ptr<GatewayProcess> SeveralGatewaysTest::NewGateway(
    const std::string& name, std::vector<std::string> flags) const {
  flags.insert(flags.end(), {"--replica-name", name, "--genesys-base-url", genesys_.base_url(),
                             "--genesys-token-url", genesys_.token_url(), "--genesys-client-id",
                             kClientId, "--genesys-client-secret-file",
                             PrivateFile("genesys.secret", kClientSecret), "--senders", kSender});
  return std::make_unique<GatewayProcess>(GatewayProcess::Options{
      .database_url = database_.url(), .flags = std::move(flags), .sandbox = false});
}

std::unique_ptr<Client> SeveralGatewaysTest::ClientOf(const GatewayProcess& gateway,
                                                      const std::string& token_file) {
  auto opened =
      Client::Open({.address = gateway.grpc_address(),
                    .token_file = token_file.empty() ? gateway.token_file() : token_file});
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? *std::move(opened) : nullptr;
}

std::unique_ptr<client::Admin> SeveralGatewaysTest::AdminOf(const GatewayProcess& gateway) {
  auto opened = client::Admin::Open(
      {.address = gateway.admin_address(), .token_file = gateway.operator_token_file()});
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? *std::move(opened) : nullptr;
}

std::string SeveralGatewaysTest::AddTenant(const std::string& name, int slot, double rate_per_s,
                                           int burst) {
  TenantId tenant;
  do {
    tenant = {MakeUuidV4(random_)};
  } while (SlotOf(tenant) != slot);
  const std::string id = StrCat("'", tenant.ToString(), "', ");
  sql_.Ask(StrCat(
      "INSERT INTO tenant (tenant_id, name, base_url, send_path, token_url, client_id, "
      "client_secret_file, webhook_key, rate_per_s, burst) VALUES (",
      id, "'", name, "', '", genesys_.base_url(), "', '", Sandbox::Options().send_path, "', '",
      genesys_.token_url(), "', '", name, "', '", PrivateFile("genesys.secret", kClientSecret),
      "', '", name, "', ", rate_per_s, ", ", burst, ")"));
  sql_.Ask(StrCat("INSERT INTO sender (tenant_id, sender_id, address, segments_per_s) VALUES (", id,
                  "gen_random_uuid(), '", kSender, "', 100000)"));
  sql_.Ask(StrCat("INSERT INTO api_token (tenant_id, token_sha256, name, scopes) VALUES (", id,
                  "sha256('prt_", name, "'), 'a test', '{send,read}')"));
  return PrivateFile(name + ".token", "prt_" + name);
}

std::string SeveralGatewaysTest::OwnerOfAll() const {
  return sql_.Text(
      "SELECT min(r.name) FROM slot_lease l LEFT JOIN replica r ON r.replica_id = l.owner "
      "HAVING count(r.replica_id) = count(*) AND count(DISTINCT l.owner) = 1");
}

std::string SeveralGatewaysTest::Owner() const {
  const auto tenant =
      TenantId::Parse(sql_.Text("SELECT tenant_id FROM tenant WHERE name = 'default'"));
  if (!tenant.ok()) return "";
  return sql_.Text(StrCat(
      "SELECT r.name FROM slot_lease l JOIN replica r ON r.replica_id = l.owner WHERE l.slot = ",
      SlotOf(*tenant)));
}

bool SeveralGatewaysTest::AreShared(int replicas) const {
  return sql_.Text(StrCat(
             "SELECT count(*) = ", replicas,
             " AND sum(n) = 16 AND max(n) - min(n) <= 1 FROM (SELECT count(*) AS n FROM slot_lease "
             "l JOIN replica r ON r.replica_id = l.owner GROUP BY l.owner) s")) == "t";
}

std::set<std::string> SeveralGatewaysTest::Senders() const {
  std::set<std::string> names;
  for (const Sql::Row& row :
       sql_.Ask("SELECT DISTINCT r.name FROM attempt JOIN replica r USING (replica_id)")) {
    names.insert(row[0]);
  }
  return names;
}

void SeveralGatewaysTest::Send(const Client& client, int count) {
  for (int i = 0; i < count; ++i) {
    const int number = static_cast<int>(acknowledged_.size());
    const auto sent =
        client.Send(RequestTo(StrCat("+1555300", 1000 + number), StrCat("Text ", number)));
    ASSERT_TRUE(sent.ok()) << sent.status();
    acknowledged_.push_back(Acknowledged(*sent));
  }
}

AcknowledgedSend SeveralGatewaysTest::Acknowledged(const v1::SendMessageResponse& answer) {
  const v1::Message& message = answer.message();
  return {message.request_id(), message.message_id(), message.recipient(), message.sender(),
          message.text()};
}

void SeveralGatewaysTest::AwaitEnds() const {
  const auto count = [this](const char* where) {
    return sql_.Number(StrCat("SELECT count(*) FROM message WHERE ", where));
  };
  // 1, 2: queued, dispatching; 3: unknown; 7: delivered.
  EXPECT_TRUE(Await([&] { return count("state <= 2") == 0; }));
  std::set<std::string> left;
  for (const LedgerPost& post : WithMessageIds(sql_, Posts())) {
    if (post.processed) left.insert(post.message_id);
  }
  // What is read and not delivered yet is read again 30 s later, then after a minute.
  EXPECT_TRUE(
      Await([&] { return count("state = 7 AND final") == static_cast<std::int64_t>(left.size()); },
            std::chrono::seconds(90)))
      << left.size() << " left; not delivered: "
      << sql_.Text(
             "SELECT string_agg(concat_ws(' ', m.message_id, 'state', m.state, 'reads', q.reads, "
             "'absent', q.absent, 'next', q.next_read_at - now()), ', ') FROM message m "
             "LEFT JOIN reconcile_queue q USING (tenant_id, message_id) WHERE m.state <> 7");
  EXPECT_EQ(count("state NOT IN (3, 7)"), 0);
  EXPECT_TRUE(Await([this] { return InboxIsAccountedFor(sql_).empty(); }));
}

}  // namespace postrider
