#include "server/app/accounts.h"

#include <algorithm>
#include <fstream>
#include <optional>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/policy/compliance_rules.h"
#include "server/policy/sender_rate.h"

namespace postrider {

namespace {

constexpr std::size_t kMaxSecretBytes = 4096;

bool Same(const TenantSettings& a, const TenantSettings& b) {
  return a.rate_per_s == b.rate_per_s && a.burst == b.burst &&
         a.requests_per_s == b.requests_per_s && a.senders == b.senders && a.account == b.account;
}

}  // namespace

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) {
    return absl::FailedPreconditionError(StrCat("cannot read the secret's file ", path));
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  if (line.empty() || line.size() > kMaxSecretBytes) {
    return absl::FailedPreconditionError(StrCat(
        "the secret's file ", path, " must hold one line of 1 to ", kMaxSecretBytes, " bytes"));
  }
  return Secret(std::move(line));
}

std::shared_ptr<const TenantSettings> Accounts::SettingsOf(TenantId tenant) {
  const std::shared_ptr<const TenantSnapshot> snapshot = directory_.Current();
  {
    MutexLock lock(mu_);
    const auto found = entries_.find(tenant);
    if (found != entries_.end() && found->second.snapshot == snapshot) {
      return found->second.settings;
    }
  }
  const TenantRow* row = snapshot->Find(tenant);
  std::shared_ptr<TenantSettings> made;
  std::string problem;
  if (row != nullptr) {
    absl::StatusOr<Secret> secret = ReadSecretFile(row->client_secret_file);
    if (secret.ok()) {
      made = std::make_shared<TenantSettings>();
      made->rate_per_s = row->rate_per_s;
      made->burst = row->burst;
      if (row->requests_per_minute) {
        // Counted in fixed minutes: a burst and a minute's rate can fall into one.
        made->requests_burst = row->burst;
        // What the compliance check may take of them is its own.
        const ComplianceCheck& check = row->compliance_check;
        const bool counts = !check.url.empty() && CountsForAccount(check, row->base_url);
        const auto a_minute =
            static_cast<double>(*row->requests_per_minute - (counts ? check.checks_per_minute : 0));
        made->requests_per_s = std::max(row->rate_per_s, (a_minute - row->burst) / 60);
      }
      for (const SenderRow& sender : row->senders) {
        made->senders[sender.sender_id] =
            sender.segments_per_s.value_or(SegmentsPerSecondOf(sender.address));
      }
      made->other_senders_per_s = SegmentsPerSecondOf("+1");  // Known in a moment.
      made->account = {.profile = row->profile,
                       .base_url = row->base_url,
                       .send_path = row->send_path,
                       .token_url = row->token_url,
                       .client_id = row->client_id,
                       .client_secret = *std::move(secret),
                       .ca_file = row->ca_file,
                       .active_conversation = ActiveConversation(row->active_conversation),
                       .refused_at_edge = row->refused_at_edge};
    } else {
      problem = ToStd(secret.status().message());
    }
  }

  MutexLock lock(mu_);
  Entry& entry = entries_[tenant];
  if (!problem.empty() && entry.problem != problem) {
    PR_LOG(kError, "a tenant cannot be dispatched", {"tenant", row->name}, {"error", problem});
  }
  entry.problem = std::move(problem);
  entry.snapshot = snapshot;
  const bool unchanged = made && entry.settings && Same(*made, *entry.settings);
  if (!unchanged) entry.settings = std::move(made);
  return entry.settings;
}

}  // namespace postrider
