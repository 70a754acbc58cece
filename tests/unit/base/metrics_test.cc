#include "server/base/metrics.h"

#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, ExposesEveryKindInPrometheusText) {
  Metrics metrics;
  metrics.CounterOf("postrider_messages_total", "Messages accepted.", {{"tenant", "acme"}}).Add(3);
  metrics.GaugeOf("postrider_queue_rows", "Rows queued.").Set(-2.5);
  metrics.HistogramOf("postrider_post_seconds", "Of one POST.").Observe(0.02);
  const std::string text = metrics.Expose();
  EXPECT_THAT(text, HasSubstr("# HELP postrider_messages_total Messages accepted.\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE postrider_messages_total counter\n"));
  EXPECT_THAT(text, HasSubstr("postrider_messages_total{tenant=\"acme\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE postrider_queue_rows gauge\n"));
  EXPECT_THAT(text, HasSubstr("postrider_queue_rows -2.5\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE postrider_post_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("postrider_post_seconds_count 1\n"));
  EXPECT_THAT(text, HasSubstr("postrider_post_seconds_bucket{le=\"0.01\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("postrider_post_seconds_bucket{le=\"0.025\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("postrider_post_seconds_bucket{le=\"+Inf\"} 1\n"));
}

TEST(MetricsTest, TheSameNameAndLabelsAreTheSameMetric) {
  Metrics metrics;
  Counter& one = metrics.CounterOf("postrider_things_total", "Things.", {{"kind", "a"}});
  EXPECT_EQ(&metrics.CounterOf("postrider_things_total", "Things.", {{"kind", "a"}}), &one);
  EXPECT_NE(&metrics.CounterOf("postrider_things_total", "Things.", {{"kind", "b"}}), &one);
  one.Add();
  EXPECT_THAT(metrics.Expose(), HasSubstr("postrider_things_total{kind=\"a\"} 1\n"));
}

TEST(MetricsTest, TwoRegistriesShareNothing) {
  Metrics one;
  Metrics two;
  one.CounterOf("postrider_things_total", "Things.").Add();
  EXPECT_THAT(two.Expose(), Not(HasSubstr("postrider_things_total")));
}

TEST(MetricsTest, RefreshersRunBeforeEachExposition) {
  Metrics metrics;
  Gauge& gauge = metrics.GaugeOf("postrider_rounds", "Rounds.");
  int round = 0;
  metrics.OnCollect([&] { gauge.Set(++round); });
  EXPECT_THAT(metrics.Expose(), HasSubstr("postrider_rounds 1\n"));
  EXPECT_THAT(metrics.Expose(), HasSubstr("postrider_rounds 2\n"));
}

TEST(MetricsTest, LabelsCannotBreakOutOfTheirLine) {
  Metrics metrics;
  metrics.CounterOf("postrider_things_total", "Things.", {{"name", "a\"b\\c\nd"}}).Add();
  EXPECT_THAT(metrics.Expose(), HasSubstr(R"({name="a\"b\\c\nd"} 1)"));
}

TEST(MetricsTest, ManyWorkersCountTogether) {
  Metrics metrics;
  constexpr int kWorkers = 4;
  constexpr int kEach = 10000;
  Mutex mu;
  CondVar ended;
  int left = kWorkers;
  {
    std::vector<std::unique_ptr<Worker>> workers;
    for (int i = 0; i < kWorkers; ++i) {
      workers.push_back(std::make_unique<Worker>("counter", [&](std::stop_token stop) {
        for (int n = 0; n < kEach; ++n) {
          metrics.CounterOf("postrider_things_total", "Things.", {{"n", StrCat(n % 7)}}).Add();
        }
        MutexLock lock(mu);
        --left;
        ended.NotifyAll();
        ended.Wait(mu, stop, [] { return false; });
      }));
    }
    MutexLock lock(mu);
    ended.Wait(mu, std::stop_token(), [&] { return left == 0; });
  }
  const std::string text = metrics.Expose();
  int sum = 0;
  for (std::size_t at = text.find("{n="); at != std::string::npos; at = text.find("{n=", at + 1)) {
    sum += std::stoi(text.substr(text.find(' ', at)));
  }
  EXPECT_EQ(sum, kWorkers * kEach);
}

}  // namespace
}  // namespace postrider
