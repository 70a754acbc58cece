#pragma once

#include <string>

#include "tests/support/fake_store.h"

namespace postrider {

/// Stands beside a transaction that writes events, from before its lock is taken to after it is
/// released: by chance the commit becomes visible late (FakeStore::DelayCommits).
class FakeStore::Late {
 public:
  Late(FakeStore& store, const char* operation);
  ~Late();
  Late(const Late&) = delete;
  Late& operator=(const Late&) = delete;

 private:
  FakeStore& store_;
  const char* const operation_;
  std::size_t from_ = 0;
};

}  // namespace postrider
