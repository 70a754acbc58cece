#include "server/base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <utility>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"

namespace postrider {

namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double by) override { counter_.Increment(by); }

 private:
  prometheus::Counter& counter_;
};

class PrometheusGauge final : public Gauge {
 public:
  explicit PrometheusGauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }

 private:
  prometheus::Gauge& gauge_;
};

class PrometheusHistogram final : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double seconds) override { histogram_.Observe(seconds); }

 private:
  prometheus::Histogram& histogram_;
};

const prometheus::Histogram::BucketBoundaries kSecondsBuckets = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 60};

}  // namespace

struct Metrics::Registry {
  using Key = std::pair<std::string, MetricLabels>;

  prometheus::Registry prometheus{prometheus::Registry::InsertBehavior::Merge};
  Mutex mu;
  std::map<Key, std::unique_ptr<PrometheusCounter>> counters ABSL_GUARDED_BY(mu);
  std::map<Key, std::unique_ptr<PrometheusGauge>> gauges ABSL_GUARDED_BY(mu);
  std::map<Key, std::unique_ptr<PrometheusHistogram>> histograms ABSL_GUARDED_BY(mu);
  std::vector<std::function<void()>> refreshers ABSL_GUARDED_BY(mu);
};

Metrics::Metrics() : registry_(std::make_unique<Registry>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::CounterOf(const std::string& name, const std::string& help,
                            const MetricLabels& labels) {
  MutexLock lock(registry_->mu);
  auto& made = registry_->counters[{name, labels}];
  if (!made) {
    made = std::make_unique<PrometheusCounter>(prometheus::BuildCounter()
                                                   .Name(name)
                                                   .Help(help)
                                                   .Register(registry_->prometheus)
                                                   .Add(labels));
  }
  return *made;
}

Gauge& Metrics::GaugeOf(const std::string& name, const std::string& help,
                        const MetricLabels& labels) {
  MutexLock lock(registry_->mu);
  auto& made = registry_->gauges[{name, labels}];
  if (!made) {
    made = std::make_unique<PrometheusGauge>(
        prometheus::BuildGauge().Name(name).Help(help).Register(registry_->prometheus).Add(labels));
  }
  return *made;
}

Histogram& Metrics::HistogramOf(const std::string& name, const std::string& help,
                                const MetricLabels& labels) {
  MutexLock lock(registry_->mu);
  auto& made = registry_->histograms[{name, labels}];
  if (!made) {
    made = std::make_unique<PrometheusHistogram>(prometheus::BuildHistogram()
                                                     .Name(name)
                                                     .Help(help)
                                                     .Register(registry_->prometheus)
                                                     .Add(labels, kSecondsBuckets));
  }
  return *made;
}

void Metrics::OnCollect(std::function<void()> refresh) {
  MutexLock lock(registry_->mu);
  registry_->refreshers.push_back(std::move(refresh));
}

std::string Metrics::Expose() {
  std::vector<std::function<void()>> refreshers;
  {
    MutexLock lock(registry_->mu);
    refreshers = registry_->refreshers;
  }
  for (const auto& refresh : refreshers) refresh();
  return prometheus::TextSerializer().Serialize(registry_->prometheus.Collect());
}

}  // namespace postrider
