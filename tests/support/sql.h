#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace postrider {

/// What an operator would ask with psql: a test's own look at the gateway's tables.
/// Each call has a connection of its own, so a restart of Postgres between two calls does not
/// matter. Safe from any thread.
class Sql {
 public:
  using Row = std::vector<std::string>;  ///< Values as text; empty for NULL.

  /// A libpq URL.
  explicit Sql(std::string url) : url_(std::move(url)) {}

  /// The rows; fails the test, and gives none, when the statement does not run. The search_path is
  /// the gateway's schema.
  std::vector<Row> Ask(const std::string& statement) const;
  /// The first value; empty when there are no rows.
  std::string Text(const std::string& statement) const;
  std::int64_t Number(const std::string& statement) const;

 private:
  const std::string url_;
};

}  // namespace postrider
