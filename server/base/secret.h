#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace postrider {

/// A value that must not reach a log or an error: it cannot be printed by accident, only
/// Reveal() gives it out, and its bytes are wiped when it goes.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&&) = default;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&&) = default;
  ~Secret();

  std::string_view Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  /// For noticing a change; not for checking what a stranger sent (base/digest.h does that).
  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string value_;
};

}  // namespace postrider
