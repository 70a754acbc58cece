#include "tests/support/sql.h"

#include <cstdlib>
#include <libpq-fe.h>
#include <memory>

#include <gtest/gtest.h>

namespace postrider {

std::vector<Sql::Row> Sql::Ask(const std::string& statement) const {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(url_.c_str()), &PQfinish);
  const std::string whole =
      "SET search_path = postrider; SET client_min_messages = warning; " + statement;
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
      PQexec(connection.get(), whole.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    ADD_FAILURE() << statement << ": " << PQerrorMessage(connection.get());
    return {};
  }
  std::vector<Row> rows;
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    Row& values = rows.emplace_back();
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      values.emplace_back(PQgetvalue(result.get(), row, column));
    }
  }
  return rows;
}

std::string Sql::Text(const std::string& statement) const {
  const std::vector<Row> rows = Ask(statement);
  return rows.empty() ? "" : rows[0][0];
}

std::int64_t Sql::Number(const std::string& statement) const {
  return std::atoll(Text(statement).c_str());
}

}  // namespace postrider
