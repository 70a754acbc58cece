#include <array>

#include "server/app/option_table.h"
#include "server/base/check.h"
#include "server/model/limits.h"
#include "server/model/retention_limits.h"

namespace postrider {

namespace {

using std::chrono::days;
using std::chrono::milliseconds;

constexpr std::string_view kQuiet = "Quiet hours";
constexpr std::string_view kKeeping = "Keeping";
constexpr std::string_view kSandbox = "Sandbox";
constexpr std::string_view kRunning = "Running";

LogLevel LogLevelOf(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warning") return LogLevel::kWarning;
  PR_CHECK(text == "error");
  return LogLevel::kError;
}

constexpr std::array kRunningOptions = {
    Option{.section = kQuiet,
           .name = "quiet-hours",
           .kind = OptionKind::kText,
           .fallback = "law",
           .help = "When the default tenant's marketing does not leave, by the recipient's clock. "
                   "law: as their state and country have it. Times such as 21:00-08:00: then "
                   "neither. off: it leaves at any hour.",
           .set = [](Config& c, const OptionValue& v) { c.quiet.hours = v.text; }},
    Option{.section = kQuiet,
           .name = "quiet-zone",
           .kind = OptionKind::kText,
           .fallback = "",
           .help = "The time zone of recipients of whom none is known, such as America/New_York. "
                   "Empty: UTC.",
           .set = [](Config& c, const OptionValue& v) { c.quiet.zone = v.text; }},
    Option{.section = kQuiet,
           .name = "default-class",
           .kind = OptionKind::kChoice,
           .fallback = "transactional",
           .help = "What the default tenant's messages are unless their campaign says. Quiet hours "
                   "hold marketing only.",
           .set = [](Config& c, const OptionValue& v) { c.quiet.default_class = v.text; },
           .choices = "transactional|marketing|one-time-code"},

    Option{.section = kKeeping,
           .name = "keep-messages-days",
           .kind = OptionKind::kInteger,
           .fallback = "400",
           .help = "How long messages are kept, with their history, texts that came in and dead "
                   "letters. The same on every replica: the shortest counts.",
           .set = [](Config& c, const OptionValue& v) { c.keep.messages = days(v.integer); },
           .range = {kKeepMessagesLeast.count(), kKeepLongest.count(), "days"}},
    Option{.section = kKeeping,
           .name = "keep-webhooks-days",
           .kind = OptionKind::kInteger,
           .fallback = "90",
           .help = "How long webhooks are kept as they came, and what became of them. Not above "
                   "keep-messages-days, and the same on every replica.",
           .set = [](Config& c, const OptionValue& v) { c.keep.webhooks = days(v.integer); },
           .range = {kKeepWebhooksLeast.count(), kKeepLongest.count(), "days"}},
    Option{.section = kKeeping,
           .name = "keep-texts-days",
           .kind = OptionKind::kInteger,
           .fallback = "0",
           .help = "Texts and metadata of the default tenant's messages are erased after so long, "
                   "and raw webhooks with them; 31 at least. 0: not before the message goes.",
           .set = [](Config& c, const OptionValue& v) { c.keep_texts_days = v.integer; },
           .range = {0, kKeepLongest.count(), "days"}},
    Option{.section = kKeeping,
           .name = "keep-numbers-days",
           .kind = OptionKind::kInteger,
           .fallback = "0",
           .help = "The same of recipients' numbers in messages. Conversations and opt-outs keep "
                   "the numbers that they are found by.",
           .set = [](Config& c, const OptionValue& v) { c.keep_numbers_days = v.integer; },
           .range = {0, kKeepLongest.count(), "days"}},

    Option{.section = kSandbox,
           .name = "sandbox",
           .kind = OptionKind::kBool,
           .fallback = "false",
           .help = "Runs a Genesys Cloud to try against, and sends there. Nothing leaves for real.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.enabled = v.flag; }},
    Option{.section = kSandbox,
           .name = "sandbox-listen",
           .kind = OptionKind::kAddress,
           .fallback = "127.0.0.1:7073",
           .help = "Where it listens.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.listen = v.address; }},
    Option{
        .section = kSandbox,
        .name = "sandbox-replies",
        .kind = OptionKind::kChoice,
        .fallback = "newer",
        .help = "How it answers POSTs of profile platform. newer: ids within message. older: "
                "at the top.",
        .set = [](Config& c, const OptionValue& v) { c.sandbox.older_replies = v.text == "older"; },
        .choices = "newer|older"},
    Option{.section = kSandbox,
           .name = "sandbox-rate-per-minute",
           .kind = OptionKind::kInteger,
           .fallback = "0",
           .help = "Requests a minute before it answers 429. 0: no limit.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.rate_per_minute = v.integer; },
           .range = {0, 6'000'000, "requests a minute"}},
    Option{.section = kSandbox,
           .name = "sandbox-receipt-delay-ms",
           .kind = OptionKind::kInteger,
           .fallback = "200",
           .help = "From the POST to its first receipt, and between receipts.",
           .set = [](Config& c,
                     const OptionValue& v) { c.sandbox.receipt_delay = milliseconds(v.integer); },
           .range = {0, 3'600'000, "ms"}},
    Option{.section = kSandbox,
           .name = "sandbox-answer-delay-ms",
           .kind = OptionKind::kInteger,
           .fallback = "0",
           .help = "How long it takes to answer a POST.",
           .set = [](Config& c,
                     const OptionValue& v) { c.sandbox.answer_delay = milliseconds(v.integer); },
           .range = {0, 60'000, "ms"}},
    Option{.section = kSandbox,
           .name = "sandbox-refused-word",
           .kind = OptionKind::kText,
           .fallback = "contraband",
           .help = "Its compliance check refuses texts with this word. Empty: none.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.refused_word = v.text; }},
    Option{.section = kSandbox,
           .name = "sandbox-receipts",
           .kind = OptionKind::kBool,
           .fallback = "true",
           .help = "Sends receipts by webhook. false: none, for load tests.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.receipts = v.flag; }},
    Option{.section = kSandbox,
           .name = "sandbox-retry-compression",
           .kind = OptionKind::kInteger,
           .fallback = "60",
           .help = "How many times faster than Genesys (two hours in all) it repeats a receipt "
                   "that was not taken.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.retry_compression = v.integer; },
           .range = {1, 1'000'000, "times"}},
    Option{.section = kSandbox,
           .name = "sandbox-ledger-file",
           .kind = OptionKind::kFile,
           .fallback = "",
           .help = "A line of JSON here for every POST it gets. Empty: none.",
           .set = [](Config& c, const OptionValue& v) { c.sandbox.ledger_file = v.text; }},

    Option{
        .section = kRunning,
        .name = "log-format",
        .kind = OptionKind::kChoice,
        .fallback = "console",
        .help = "console: for people. json: one object a line.",
        .set =
            [](Config& c, const OptionValue& v) {
              c.log_format = v.text == "json" ? LogFormat::kJson : LogFormat::kConsole;
            },
        .choices = "console|json"},
    Option{.section = kRunning,
           .name = "log-level",
           .kind = OptionKind::kChoice,
           .fallback = "info",
           .help = "The lowest level that is written.",
           .set = [](Config& c, const OptionValue& v) { c.log_level = LogLevelOf(v.text); },
           .choices = "debug|info|warning|error"},
};

}  // namespace

std::span<const Option> RunningOptions() { return kRunningOptions; }

}  // namespace postrider
