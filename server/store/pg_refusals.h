#pragma once

#include "server/store/pg_session.h"
#include "server/store/refusals.h"

namespace postrider {

/// RefusalStore in Postgres.
class PgRefusalStore final : public RefusalStore {
 public:
  /// `pool` must outlive it.
  explicit PgRefusalStore(PgPool& pool) : pool_(pool) {}

  absl::Status RecordRefusals(std::span<const RefusalRow> batch) override;

 private:
  PgPool& pool_;
};

}  // namespace postrider
