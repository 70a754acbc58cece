#pragma once

#include <cstdint>
#include <random>
#include <span>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"

namespace postrider {

/// Where every module gets chance from: ids, jitter, tokens. Safe from any thread.
class Random {
 public:
  virtual ~Random() = default;
  /// 64 uniform bits.
  virtual std::uint64_t Next() = 0;

  /// Uniform in [0, 1).
  double Fraction() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  void Fill(std::span<std::uint8_t> bytes);
};

/// The kernel's generator: fit for tokens and keys.
class OsRandom final : public Random {
 public:
  std::uint64_t Next() override;
};

/// For tests and simulation: the same seed gives the same sequence. Not for keys.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t Next() override {
    MutexLock lock(mu_);
    return engine_();
  }
  /// Begins the sequence of `seed`.
  void Seed(std::uint64_t seed) {
    MutexLock lock(mu_);
    engine_.seed(seed);
  }

 private:
  Mutex mu_;
  std::mt19937_64 engine_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
