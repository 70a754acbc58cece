#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "server/store/verdicts.h"

namespace postrider {

/// An empty VerdictStore under test, and what a test may do around it.
struct VerdictSubject {
  std::shared_ptr<VerdictStore> store;
  TenantId tenant;
  std::function<void(std::chrono::minutes)> advance;  ///< Lets the store's time pass.
  std::function<std::int64_t()> minute;               ///< The store's, since the epoch.
};
struct VerdictFactory {
  std::string name;
  std::function<VerdictSubject()> make;
  friend std::ostream& operator<<(std::ostream& out, const VerdictFactory& f) {
    return out << f.name;
  }
};

/// What every VerdictStore must do; instantiated as StoreContract is.
class VerdictContract : public ::testing::TestWithParam<VerdictFactory> {};

}  // namespace postrider
