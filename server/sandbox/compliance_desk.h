#pragma once

#include <atomic>
#include <string>
#include <utility>

#include "server/base/metrics.h"
#include "server/http/message.h"

namespace postrider {

/// The sandbox's compliance check: a text with a certain word is not compliant, every other one is.
/// Safe from any thread.
class ComplianceDesk {
 public:
  /// `refused_word`: in any case of ASCII letters; empty: none. `metrics` must outlive it.
  ComplianceDesk(std::string refused_word, Metrics& metrics)
      : refused_word_(std::move(refused_word)), metrics_(metrics) {}

  /// False: every question gets a 503.
  void Switch(bool on) { on_ = on; }
  /// The answer to a question in the guide's shape. Counts
  /// postrider_sandbox_checks_total{status}.
  HttpResponse Answer(const std::string& body);

 private:
  HttpResponse AnswerTo(const std::string& body) const;

  const std::string refused_word_;
  Metrics& metrics_;
  std::atomic<bool> on_ = true;
};

}  // namespace postrider
