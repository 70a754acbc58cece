#include "tests/bench/dispatch_figures.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>

#include "absl/time/time.h"

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "tests/bench/store_load.h"

namespace postrider::bench {

namespace {

using std::chrono::milliseconds;

constexpr int kDrained = 20'000;  // messages of a run
constexpr int kPairs = 5;
constexpr int kDrainedOfPair = 6'000;
constexpr int kCarried = 8'000;          // messages of a run that accepts and posts at once
constexpr double kMostHalfLoad = 1'000;  // messages/s: half of what is aimed at
constexpr double kLicensed = 4.9;
constexpr int kLicensedSeconds = 60;

const std::vector<std::string> kOpenBucket = {
    "--sandbox",        "--sandbox-receipts=false", "--sandbox-answer-delay-ms=20",
    "--burst=100000",   "--rate-per-second=100000", "--sender-rate=100000",
    "--posters-min=64", "--queue-limit=1000000"};

/// What the sandbox wrote of a POST.
struct Post {
  double at_s = 0;
  bool refused = false;  ///< 429
};

std::string FieldOf(const std::string& line, const std::string& name) {
  const std::string mark = StrCat("\"", name, "\":");
  std::size_t begin = line.find(mark);
  if (begin == std::string::npos) return {};
  begin += mark.size();
  const bool quoted = line[begin] == '"';
  const std::size_t end = line.find_first_of(quoted ? "\"" : ",}", begin + 1);
  return line.substr(begin + (quoted ? 1 : 0), end - begin - (quoted ? 1 : 0));
}

/// The first POST of each message.
std::map<std::string, Post> ReadPosts(const std::string& ledger_file) {
  std::map<std::string, Post> posts;
  std::ifstream file(ledger_file);
  for (std::string line; std::getline(file, line);) {
    absl::Time at;
    PR_CHECK(absl::ParseTime(absl::RFC3339_full, FieldOf(line, "at"), &at, nullptr));
    posts.emplace(FieldOf(line, "message_id"), Post{absl::ToDoubleSeconds(at - absl::UnixEpoch()),
                                                    FieldOf(line, "http_status") == "429"});
  }
  return posts;
}

class Run {
 public:
  Run(const DispatchBench& bench, Report& report) : bench_(bench), report_(report) {}

  void Drain() {
    GatewayProcess gateway = bench_.start_gateway(kOpenBucket);
    DrainOnce(gateway, 2'000);  // warm
    const double rate = DrainOnce(gateway, kDrained);
    report_.Add({"dispatch_rate", rate, "POSTs/s", "echo_rate", report_.ValueOf("echo_rate")});
    ForeignTransaction(gateway);
  }

  /// Accept to POST at half of the load that this machine carries when it does both.
  void PostStart() {
    std::ofstream(bench_.ledger_file, std::ios::trunc);
    std::vector<std::string> flags = kOpenBucket;
    flags.insert(flags.end(), {"--sandbox-ledger-file", bench_.ledger_file});
    const double carried = Carried();
    report_.Add({"carried_rate", carried, "messages/s", "echo_rate", report_.ValueOf("echo_rate")});
    const double rate = std::min(kMostHalfLoad, carried / 2);
    const std::string begin = One("SELECT clock_timestamp()");
    {
      GatewayProcess gateway = bench_.start_gateway(flags);
      SendLoad load = bench_.load(gateway.addresses(), "start");
      load.OpenLoop(rate, 2048, 8);
      AwaitQuiet();
    }
    const std::map<std::string, Post> posts = ReadPosts(bench_.ledger_file);
    std::vector<double> ms;
    std::vector<double> intent_ms;
    // Not those of the first two seconds, in which connections are made.
    for (const std::string& row :
         RunSql(bench_.database_url,
                StrCat("SELECT message_id || ' ' || extract(epoch FROM accepted_at) || ' ' || "
                       "extract(epoch FROM intended_at) FROM message "
                       "JOIN attempt USING (tenant_id, message_id) WHERE accepted_at > '",
                       begin, "'::timestamptz + (SELECT min(accepted_at) - '", begin,
                       "'::timestamptz FROM message WHERE accepted_at > '", begin,
                       "') + interval '2 seconds'"))) {
      const std::size_t blank = row.find(' ');
      const auto post = posts.find(row.substr(0, blank));
      PR_CHECK(post != posts.end());
      const double accepted_s = std::atof(row.c_str() + blank + 1);
      const double intended_s = std::atof(row.c_str() + row.rfind(' ') + 1);
      ms.push_back((post->second.at_s - accepted_s) * 1e3);
      intent_ms.push_back((intended_s - accepted_s) * 1e3);
    }
    report_.Add({"accept_to_intent_p50_ms", Percentile(intent_ms, 50), "ms", "calls/s", rate});
    report_.Add({"accept_to_post_p50_ms", Percentile(ms, 50), "ms", "calls/s", rate});
    report_.Add({"accept_to_post_p99_ms", Percentile(ms, 99), "ms", "its p50", Percentile(ms, 50)});
  }

  void LicensedRate() {
    std::ofstream(bench_.ledger_file, std::ios::trunc);
    std::vector<Post> posts;
    {
      GatewayProcess gateway =
          bench_.start_gateway({"--sandbox", "--sandbox-rate-per-minute", "300", "--sender-rate",
                                "100", "--sandbox-ledger-file", bench_.ledger_file});
      bench_.load(gateway.addresses(), "licensed").Accept(int{kLicensedSeconds} * 7, 16);
      WaitOrStop(std::stop_token(), std::chrono::seconds(kLicensedSeconds + 5));
    }
    for (const auto& [id, post] : ReadPosts(bench_.ledger_file)) posts.push_back(post);
    PR_CHECK(!posts.empty());
    const auto refused =
        std::count_if(posts.begin(), posts.end(), [](const Post& post) { return post.refused; });
    double first = posts.front().at_s;
    for (const Post& post : posts) first = std::min(first, post.at_s);
    // After the burst, which is no steady state.
    const double from = first + 2;
    const auto steady = std::count_if(posts.begin(), posts.end(), [&](const Post& post) {
      return post.at_s >= from && post.at_s < from + kLicensedSeconds;
    });
    report_.Add({"licensed_rate_used", static_cast<double>(steady) / kLicensedSeconds, "POSTs/s",
                 "licensed", kLicensed});
    report_.Add({"answered_429", static_cast<double>(refused), "POSTs", "POSTs in all",
                 static_cast<double>(posts.size())});
    RunSql(bench_.database_url, "DELETE FROM dispatch_queue");
    RunSql(bench_.database_url, "DELETE FROM queue_depth");
  }

 private:
  std::string One(const std::string& statement) {
    return RunSql(bench_.database_url, statement).at(0);
  }

  void AwaitQuiet() {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (One("SELECT coalesce(sum(depth), 0) + (SELECT count(*) FROM attempt WHERE outcome IS "
               "NULL) FROM queue_depth") != "0") {
      PR_CHECK(std::chrono::steady_clock::now() < give_up);
      WaitOrStop(std::stop_token(), milliseconds(100));
    }
  }

  /// Accepts `count` messages while dispatch is paused, lets them go, and says how many a second
  /// were posted and recorded.
  double DrainOnce(GatewayProcess& gateway, int count) {
    RunSql(bench_.database_url,
           "INSERT INTO dispatch_pause (tenant_id, scope, target, reason, actor) "
           "SELECT tenant_id, 1, '', 'bench', 'bench' FROM tenant");
    const std::string prefix = StrCat("drain-", ++drains_);
    bench_.load(gateway.addresses(), prefix.c_str()).Accept(count, 256);
    const std::string begin = One("SELECT clock_timestamp()");
    RunSql(bench_.database_url, "DELETE FROM dispatch_pause");
    AwaitQuiet();
    return std::atof(One(StrCat("SELECT count(*) / extract(epoch FROM max(outcome_at) - "
                                "min(intended_at)) FROM attempt WHERE intended_at > '",
                                begin, "'"))
                         .c_str());
  }

  /// Messages a second that are accepted and posted at once, as fast as it goes.
  double Carried() {
    GatewayProcess gateway = bench_.start_gateway(kOpenBucket);
    bench_.load(gateway.addresses(), "warm").Accept(2'000, 256);
    AwaitQuiet();
    const std::string begin = One("SELECT clock_timestamp()");
    bench_.load(gateway.addresses(), "carried").Accept(kCarried, 256);
    AwaitQuiet();
    return std::atof(One(StrCat("SELECT count(*) / extract(epoch FROM max(outcome_at) - '", begin,
                                "'::timestamptz) FROM attempt WHERE intended_at > '", begin, "'"))
                         .c_str());
  }

  /// Pairs of runs, one after the other, with and without a write transaction that stays open.
  void ForeignTransaction(GatewayProcess& gateway) {
    std::vector<double> shares;
    for (int pair = 0; pair < kPairs; ++pair) {
      double with = 0;
      double without = 0;
      const auto held = [&] {
        const OpenTransaction foreign(bench_.database_url);
        with = DrainOnce(gateway, kDrainedOfPair);
      };
      if (pair % 2 == 0) held();
      without = DrainOnce(gateway, kDrainedOfPair);
      if (pair % 2 != 0) held();
      shares.push_back(with / without);
    }
    report_.Add({"foreign_transaction_share", Percentile(shares, 50), "of rate",
                 "least of the pairs", shares.front()});
  }

  const DispatchBench& bench_;
  Report& report_;
  int drains_ = 0;
};

}  // namespace

void MeasureDispatch(const DispatchBench& bench, Report& report) {
  Run run(bench, report);
  run.Drain();
  run.PostStart();
  run.LicensedRate();
}

void MeasurePostStart(const DispatchBench& bench, Report& report) {
  Run(bench, report).PostStart();
}

}  // namespace postrider::bench
