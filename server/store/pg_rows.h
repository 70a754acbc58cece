#pragma once

#include "server/store/pg_session.h"
#include "server/store/pqxx_compat.h"

namespace postrider {

/// A libpqxx result behind PgRows: seen by pg_session.cc and pg_values.cc only.
struct PgRows::Data {
  pqxx::result result;
};

}  // namespace postrider
