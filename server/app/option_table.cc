#include "server/app/option_table.h"

#include <algorithm>
#include <array>
#include <vector>

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kState = "State";
constexpr std::string_view kListening = "Listening";
constexpr std::string_view kGenesys = "Genesys Cloud";
constexpr std::string_view kRates = "Rates and deadlines";
constexpr std::string_view kWorkers = "Workers";

constexpr std::array kOptions = {
    Option{.section = kState,
           .name = "config",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "A YAML file with any of these options. Flags and variables go before it.",
           .set = [](Config& c, const OptionValue& v) { c.config_file = v.text; },
           .in_file = false},
    Option{.section = kState,
           .name = "state-dir",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "Where this replica keeps its files. Empty: /var/lib/postrider for root, else "
                   "$XDG_STATE_HOME/postrider or ~/.local/state/postrider.",
           .set = [](Config& c, const OptionValue& v) { c.state_dir = v.text; }},
    Option{.section = kState,
           .name = "database-url",
           .kind = OptionKind::kText,
           .fallback = "",
           .help = "The Postgres to use, as a libpq URL or connection string. Empty: a private "
                   "one in the state directory, started and stopped with the gateway.",
           .set = [](Config& c, const OptionValue& v) { c.database_url = Secret(v.text); },
           .secret = true},
    Option{.section = kState,
           .name = "replica-name",
           .kind = OptionKind::kText,
           .fallback = "",
           .help = "What this replica is called in logs and tables. Empty: the host's name and the "
                   "process.",
           .set = [](Config& c, const OptionValue& v) { c.replica_name = v.text; }},

    Option{.section = kListening,
           .name = "listen",
           .kind = OptionKind::kAddress,
           .fallback = "127.0.0.1:7070",
           .help = "gRPC, for callers.",
           .set = [](Config& c, const OptionValue& v) { c.listen = v.address; }},
    Option{.section = kListening,
           .name = "admin-listen",
           .kind = OptionKind::kAddress,
           .fallback = "127.0.0.1:7074",
           .help = "gRPC, for operators: AdminService, with an operator's token.",
           .set = [](Config& c, const OptionValue& v) { c.admin_listen = v.address; }},
    Option{.section = kListening,
           .name = "webhook-listen",
           .kind = OptionKind::kAddress,
           .fallback = "127.0.0.1:7071",
           .help = "HTTP, for Genesys' receipts.",
           .set = [](Config& c, const OptionValue& v) { c.webhook_listen = v.address; }},
    Option{.section = kListening,
           .name = "ops-listen",
           .kind = OptionKind::kAddress,
           .fallback = "127.0.0.1:7072",
           .help = "HTTP, for operators: /healthz, /readyz, /metrics. Nobody else's business.",
           .set = [](Config& c, const OptionValue& v) { c.ops_listen = v.address; }},
    Option{.section = kListening,
           .name = "tls-cert-file",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "Certificate chain of the gRPC port, PEM. Empty: no TLS.",
           .set = [](Config& c, const OptionValue& v) { c.tls_cert_file = v.text; }},
    Option{.section = kListening,
           .name = "tls-key-file",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "Its private key, PEM.",
           .set = [](Config& c, const OptionValue& v) { c.tls_key_file = v.text; }},

    Option{.section = kGenesys,
           .name = "genesys-profile",
           .kind = OptionKind::kChoice,
           .fallback = "guide",
           .help = "The HTTP contract of the default tenant's organisation. guide: the product "
                   "guide's, with receipts by webhook. platform: the API that Genesys Cloud has.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.profile = v.text; },
           .choices = "guide|platform"},
    Option{.section = kGenesys,
           .name = "genesys-region",
           .kind = OptionKind::kText,
           .fallback = "",
           .help = "Profile platform: the region's domain, such as mypurecloud.ie. Both URLs "
                   "follow from it.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.region = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-base-url",
           .kind = OptionKind::kUrl,
           .fallback = "",
           .help = "The default tenant's organisation: https://YOUR-DOMAIN.mypurecloud.com",
           .set = [](Config& c, const OptionValue& v) { c.genesys.base_url = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-token-url",
           .kind = OptionKind::kUrl,
           .fallback = "",
           .help = "Where its access tokens come from: https://login.REGION-DOMAIN/oauth/token",
           .set = [](Config& c, const OptionValue& v) { c.genesys.token_url = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-send-path",
           .kind = OptionKind::kPath,
           .fallback = "",
           .help = "Profile guide: the path that messages are posted to. Empty: spelt as Genesys' "
                   "guide spells it.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.send_path = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-client-id",
           .kind = OptionKind::kText,
           .fallback = "",
           .help = "The OAuth client (grant type: client credentials).",
           .set = [](Config& c, const OptionValue& v) { c.genesys.client_id = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-client-secret-file",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "A file that holds the client's secret, readable by the gateway alone.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.client_secret_file = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-ca-file",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "Authorities that Genesys' certificate must be of, PEM. Empty: the system's.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.ca_file = v.text; }},
    Option{.section = kGenesys,
           .name = "genesys-webhook-secret-file",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help =
               "A file with the secrets that webhooks are signed with (X-Hub-Signature-256), one "
               "a line, several while they are changed; read again when it changes. Empty: "
               "webhooks are not signed, and their path alone is the credential.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.webhook_secret_file = v.text; }},
    Option{
        .section = kGenesys,
        .name = "genesys-webhook-window-s",
        .kind = OptionKind::kInteger,
        .fallback = "0",
        .help = "Profile guide: webhooks must say when they were signed (X-Hub-Signature-Time), "
                "and that be no longer ago, so that a copy of one is worth nothing later. 0: "
                "they need not.",
        .set =
            [](Config& c, const OptionValue& v) {
              c.genesys.webhook_window_s = static_cast<int>(v.integer);
            },
        .range = {0, 86'400, "s"}},
    Option{.section = kGenesys,
           .name = "genesys-active-conversation",
           .kind = OptionKind::kChoice,
           .fallback = "fail",
           .help = "Profile platform, when sender and recipient talk in a connected conversation. "
                   "fail: the message is rejected. join: it goes into that conversation. hold: it "
                   "waits until the conversation has ended.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.active_conversation = v.text; },
           .choices = "fail|join|hold"},
    Option{.section = kGenesys,
           .name = "genesys-refused-at-edge",
           .kind = OptionKind::kBool,
           .fallback = "false",
           .help = "A 503 was refused at Genesys' edge and not sent, so it may be sent again. "
                   "false: nobody knows.",
           .set = [](Config& c, const OptionValue& v) { c.genesys.refused_at_edge = v.flag; }},
    Option{.section = kGenesys,
           .name = "senders",
           .kind = OptionKind::kSenders,
           .fallback = "",
           .help = "What the default tenant may send from; NUMBER:2 sends 2 segments a second at "
                   "most. Empty with --sandbox: +15559876543.",
           .set = [](Config& c, const OptionValue& v) { c.senders = v.list; }},

    Option{.section = kRates,
           .name = "rate-per-second",
           .kind = OptionKind::kNumber,
           .fallback = "4.9",
           .help = "The default tenant's licensed rate. Genesys counts in minutes: rate x 60 and "
                   "the burst together must stay within genesys-requests-per-minute.",
           .set = [](Config& c, const OptionValue& v) { c.rate_per_second = v.number; },
           .range = {0.01, kMaxRatePerSecond, "requests a second"}},
    Option{.section = kRates,
           .name = "burst",
           .kind = OptionKind::kInteger,
           .fallback = "5",
           .help = "How many may leave at once after a pause.",
           .set = [](Config& c, const OptionValue& v) { c.burst = v.integer; },
           .range = {1, kMaxRatePerSecond, "requests"}},
    Option{
        .section = kRates,
        .name = "genesys-requests-per-minute",
        .kind = OptionKind::kInteger,
        .fallback = "300",
        .help = "What Genesys lets the default tenant's client ask for: 300 unless it has "
                "granted more.",
        .set = [](Config& c, const OptionValue& v) { c.genesys.requests_per_minute = v.integer; },
        .range = {1, 6'000'000, "requests a minute"}},
    Option{
        .section = kRates,
        .name = "breaker-open-s",
        .kind = OptionKind::kInteger,
        .fallback = "30",
        .help = "How long an opened circuit breaker lets nothing through. Doubles each time "
                "that it opens again.",
        .set = [](Config& c, const OptionValue& v) { c.breaker_open_first = seconds(v.integer); },
        .range = {1, 3600, "s"}},
    Option{
        .section = kRates,
        .name = "breaker-open-longest-s",
        .kind = OptionKind::kInteger,
        .fallback = "600",
        .help = "The longest that it does so.",
        .set = [](Config& c, const OptionValue& v) { c.breaker_open_longest = seconds(v.integer); },
        .range = {1, 3600, "s"}},
    Option{.section = kRates,
           .name = "sender-rate",
           .kind = OptionKind::kNumber,
           .fallback = "0",
           .help = "What the carriers take from each sender. 0: by the kind of number: 1 from a "
                   "long code of the US and Canada, 3 toll-free, 10 elsewhere, 100 from a short "
                   "code.",
           .set = [](Config& c, const OptionValue& v) { c.sender_rate = v.number; },
           .range = {0, kMaxRatePerSecond, "segments a second"}},
    Option{.section = kRates,
           .name = "queue-limit",
           .kind = OptionKind::kInteger,
           .fallback = "0",
           .help = "How many of the default tenant's messages may wait; more are refused with "
                   "QUEUE_FULL and the time to come back. 0: what the rate drains in an hour, and "
                   "1000 at least.",
           .set = [](Config& c, const OptionValue& v) { c.queue_limit = v.integer; },
           .range = {0, kMaxQueueLimit, "messages"}},
    Option{.section = kRates,
           .name = "daily-quota",
           .kind = OptionKind::kInteger,
           .fallback = "-1",
           .help = "How many messages of the default tenant are accepted a day (UTC); more are "
                   "refused with QUOTA_EXCEEDED. -1: no quota.",
           .set = [](Config& c, const OptionValue& v) { c.daily_quota = v.integer; },
           .range = {-1, kMaxQueueLimit, "messages a day"}},
    Option{.section = kRates,
           .name = "receipt-window-s",
           .kind = OptionKind::kInteger,
           .fallback = "259200",
           .help = "How long a message may stay without news: then UNKNOWN ones are UNDETERMINED, "
                   "and SUBMITTED and SENT ones are final.",
           .set = [](Config& c, const OptionValue& v) { c.doubt.window = seconds(v.integer); },
           .range = {1, 30 * 24 * 3600, "s"}},
    Option{.section = kRates,
           .name = "quiet-after-s",
           .kind = OptionKind::kInteger,
           .fallback = "60",
           .help =
               "An accepted message without a final status for so long is read at Genesys, where "
               "the profile can (platform), again and again and ever less often.",
           .set = [](Config& c, const OptionValue& v) { c.doubt.quiet = seconds(v.integer); },
           .range = {1, 24 * 3600, "s"}},
    Option{.section = kRates,
           .name = "send-again-after-s",
           .kind = OptionKind::kInteger,
           .fallback = "600",
           .help = "How long an UNKNOWN message with duplicate_policy AT_LEAST_ONCE waits for news "
                   "before it is sent once more.",
           .set = [](Config& c, const OptionValue& v) { c.doubt.again = seconds(v.integer); },
           .range = {1, 24 * 3600, "s"}},
    Option{.section = kRates,
           .name = "drain-deadline-s",
           .kind = OptionKind::kInteger,
           .fallback = "20",
           .help = "How long a stop may take to finish what is under way.",
           .set = [](Config& c, const OptionValue& v) { c.drain_deadline = seconds(v.integer); },
           .range = {1, 600, "s"}},

    Option{.section = kWorkers,
           .name = "posters-min",
           .kind = OptionKind::kInteger,
           .fallback = "8",
           .help = "POSTs that can be under way at once in quiet times.",
           .set = [](Config& c, const OptionValue& v) { c.posters_min = v.integer; },
           .range = {1, kMostPosters, "workers"}},
    Option{.section = kWorkers,
           .name = "posters-max",
           .kind = OptionKind::kInteger,
           .fallback = "256",
           .help = "And at most: rate x latency, which is followed. A tenant never has more than "
                   "are free, so one alone has half. Not below posters-min.",
           .set = [](Config& c, const OptionValue& v) { c.posters_max = v.integer; },
           .range = {1, kMostPosters, "workers"}},
    Option{.section = kWorkers,
           .name = "group-commit-writers",
           .kind = OptionKind::kInteger,
           .fallback = "3",
           .help = "Transactions that accept messages at once; each has a database connection.",
           .set = [](Config& c, const OptionValue& v) { c.group_commit_writers = v.integer; },
           .range = {1, 16, "workers"}},
    Option{.section = kWorkers,
           .name = "read-workers",
           .kind = OptionKind::kInteger,
           .fallback = "4",
           .help = "Look-ups at once; each has a database connection.",
           .set = [](Config& c, const OptionValue& v) { c.read_workers = v.integer; },
           .range = {1, 32, "workers"}},
};

}  // namespace

std::span<const Option> OptionTable() {
  static const std::vector<Option>* const kAll = [] {
    auto* all = new std::vector<Option>(kOptions.begin(), kOptions.end());
    for (const Option& option : RunningOptions()) all->push_back(option);
    return all;
  }();
  return *kAll;
}

}  // namespace postrider
