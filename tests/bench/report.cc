#include "tests/bench/report.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sys/utsname.h>
#include <thread>

#include "absl/strings/str_format.h"
#include <grpcpp/grpcpp.h>

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider::bench {

namespace {

double RatioOf(const Figure& figure) {
  return figure.baseline == 0 ? 0 : figure.value / figure.baseline;
}

std::string Processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

}  // namespace

void Report::Add(Figure figure) { figures_.push_back(std::move(figure)); }

double Report::ValueOf(const std::string& name) const {
  for (const Figure& figure : figures_) {
    if (figure.name == name) return figure.value;
  }
  PR_CHECK(false);
  return 0;
}

std::string Report::Table() const {
  std::string table = absl::StrFormat("%-28s %12s  %-8s  %-34s %8s\n", "name", "value", "unit",
                                      "baseline", "ratio");
  for (const Figure& f : figures_) {
    table += absl::StrFormat("%-28s %12.3f  %-8s  %-20s %13.3f %8.3f\n", f.name, f.value, f.unit,
                             f.baseline_name, f.baseline, RatioOf(f));
  }
  return table;
}

std::string Report::Json() const {
  std::string json = "{";
  for (const Figure& f : figures_) {
    json += absl::StrFormat(
        "%s\n  \"%s\": {\"value\": %.4f, \"unit\": \"%s\", \"baseline\": %.4f, \"ratio\": %.4f}",
        json.size() > 1 ? "," : "", f.name, f.value, f.unit, f.baseline, RatioOf(f));
  }
  return json + "\n}\n";
}

std::string Circumstances(const std::string& postgres_version) {
  utsname system{};
  uname(&system);
  return StrCat("machine   ", Processor(), ", ", std::thread::hardware_concurrency(),
                " processors, Linux ", system.release, "\nversions  postrider ", POSTRIDER_VERSION,
                ", gRPC ", grpc::Version(), ", PostgreSQL ", postgres_version, ", g++ ",
                __VERSION__, "\nsettings  fsync on, everything on this machine, client included\n");
}

double Percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank =
      static_cast<std::size_t>(std::ceil(p / 100 * static_cast<double>(values.size())));
  return values[std::min(values.size() - 1, rank == 0 ? 0 : rank - 1)];
}

}  // namespace postrider::bench
