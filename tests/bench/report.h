#pragma once

#include <string>
#include <vector>

namespace postrider::bench {

/// One measured figure, and another of the same run to compare it with.
struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  std::string baseline_name;
  double baseline = 0;
};

/// What a run measured: printed as a table, written as JSON.
class Report {
 public:
  void Add(Figure figure);
  /// Of a figure that was added.
  double ValueOf(const std::string& name) const;

  std::string Table() const;
  /// {name: {value, unit, baseline, ratio}}
  std::string Json() const;

 private:
  std::vector<Figure> figures_;
};

/// Machine, versions and settings, a line each.
std::string Circumstances(const std::string& postgres_version);

/// The p-th percentile (0 .. 100) of `values`, which get sorted. 0 when there are none.
double Percentile(std::vector<double>& values, double p);

}  // namespace postrider::bench
