#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace postrider {

using MetricLabels = std::map<std::string, std::string>;

/// A number that only grows. Safe from any thread; cheap (one atomic addition).
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double by = 1) = 0;
};

/// A number that goes up and down. Safe from any thread.
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
};

/// Seconds in buckets from 0.5 ms to 60 s. Safe from any thread.
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double seconds) = 0;
};

/// The process's metrics, exposed as text for Prometheus. Made once by app/gateway and passed to
/// the parts; tests make their own. Asking twice for the same name and labels gives the same
/// metric. Metrics live as long as the registry. Names begin with "postrider_", end in their unit
/// ("_seconds", "_bytes") or in "_total".
/// Source: Prometheus naming practice.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter& CounterOf(const std::string& name, const std::string& help,
                     const MetricLabels& labels = {});
  Gauge& GaugeOf(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  Histogram& HistogramOf(const std::string& name, const std::string& help,
                         const MetricLabels& labels = {});

  /// Called before each exposition, for gauges that are read off something else. Register
  /// before the first Expose(); must not block.
  void OnCollect(std::function<void()> refresh);

  /// The exposition text (format 0.0.4).
  std::string Expose();

 private:
  struct Registry;
  std::unique_ptr<Registry> registry_;
};

}  // namespace postrider
