#pragma once

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/sandbox/sandbox.h"
#include "tests/e2e/rig.h"
#include "tests/support/hang_watch.h"

namespace postrider {

/// Several gateways on one database, and the Genesys that all send to, which outlives them.
class SeveralGatewaysTest : public ::testing::Test {
 protected:
  static constexpr const char* kClientId = "genesys-client";
  static constexpr const char* kClientSecret = "genesys-secret";
  /// Further tenants, each of which is a client of Genesys by its name.
  static constexpr std::array<const char*, 4> kTenants = {"north", "east", "south", "west"};

  /// Sends to `genesys_`, which must have started, for the default tenant.
  std::unique_ptr<GatewayProcess> NewGateway(const std::string& name,
                                             std::vector<std::string> flags) const;
  /// `token_file` empty: the default tenant's.
  static std::unique_ptr<Client> ClientOf(const GatewayProcess& gateway,
                                          const std::string& token_file = "");
  static std::unique_ptr<client::Admin> AdminOf(const GatewayProcess& gateway);
  /// A further tenant in `slot`, one of kTenants, with a sender; its webhook's key is its name. The
  /// file of its token.
  std::string AddTenant(const std::string& name, int slot, double rate_per_s, int burst);

  /// The replica that owns all slots; empty when there is none such.
  std::string OwnerOfAll() const;
  /// The replica that sends for the default tenant; empty when nobody does.
  std::string Owner() const;
  /// So many replicas have all slots, each about as many.
  bool AreShared(int replicas) const;
  /// Who made the attempts, by name.
  std::set<std::string> Senders() const;

  /// Sends `count` messages by `client`, and keeps what was answered.
  void Send(const Client& client, int count);
  static AcknowledgedSend Acknowledged(const v1::SendMessageResponse& answer);

  std::string LedgerFile() const { return dir_.path() + "/ledger.jsonl"; }
  std::vector<LedgerPost> Posts() const { return ReadLedger(LedgerFile()); }
  /// Everything that left is known to be delivered; the rest is in doubt, and nothing waits.
  void AwaitEnds() const;
  Breaches Check(const std::vector<StreamedChange>& streamed) const {
    return CheckInvariants(sql_, Posts(), acknowledged_, streamed);
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
  const HangWatch hangs_;

 private:
  static std::vector<SandboxClient> Clients();
  /// A file of one line that only its owner may read; its path.
  std::string PrivateFile(const std::string& name, const std::string& line) const;
};

}  // namespace postrider
