#include "server/store/pg_ping.h"

#include <libpq-fe.h>

namespace postrider {

bool IsAway(const std::string& conninfo) {
  // What comes later counts: the operator may allow connections more time than a question has.
  const char* const keys[] = {"dbname", "connect_timeout", nullptr};
  const char* const values[] = {conninfo.c_str(), "2", nullptr};
  const PGPing answer = PQpingParams(keys, values, /*expand_dbname=*/1);
  return answer == PQPING_NO_RESPONSE || answer == PQPING_REJECT;
}

}  // namespace postrider
