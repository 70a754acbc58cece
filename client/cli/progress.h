#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "client/cli/context.h"

namespace postrider::cli {

/// "1,234 sent, 567/s, 45 %, 2 min left": `done` things, and how far that is, in 0 .. 1 (nullopt
/// when unknown), after `elapsed`.
std::string ProgressText(const std::string& what, std::uint64_t done,
                         std::optional<double> fraction, std::chrono::nanoseconds elapsed);

/// 1234567 is "1,234,567".
std::string Grouped(std::uint64_t number);

/// A line on the terminal that tells how far a job is; nothing when stderr is none. Written at
/// most five times a second.
class Progress {
 public:
  Progress(const Context& context, std::string what);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(std::uint64_t done, std::optional<double> fraction);
  /// Removes the line, so that something else can be written.
  void Clear();

 private:
  const Context& context_;
  const std::string what_;
  const MonotonicTime start_;
  MonotonicTime next_;
  bool shown_ = false;
};

}  // namespace postrider::cli
