#include "server/store/pg_ping.h"

#include <libpq-fe.h>
#include <string_view>
#include <utility>

#include "server/base/strings.h"

namespace postrider {

std::string WithNetworkLimits(const std::string& conninfo) {
  PQconninfoOption* options = PQconninfoParse(conninfo.c_str(), nullptr);
  if (options == nullptr) return conninfo;  // connecting will say what is wrong with it
  std::string out;
  const std::pair<std::string_view, std::string_view> ours[] = {
      {"connect_timeout", "3"},  {"keepalives_idle", "5"},      {"keepalives_interval", "2"},
      {"keepalives_count", "3"}, {"tcp_user_timeout", "10000"}, {"application_name", "postriderd"}};
  for (const PQconninfoOption* o = options; o->keyword != nullptr; ++o) {
    std::string_view value = o->val == nullptr ? "" : o->val;
    if (value.empty()) {
      for (const auto& [key, preset] : ours) {
        if (key == o->keyword) value = preset;
      }
    }
    if (value.empty()) continue;
    StrAppend(out, out.empty() ? "" : " ", o->keyword, "='");
    for (const char c : value) {
      if (c == '\'' || c == '\\') out += '\\';
      out += c;
    }
    out += '\'';
  }
  PQconninfoFree(options);
  return out;
}

bool IsAway(const std::string& conninfo) {
  // What comes later counts: the operator may allow connections more time than a question has.
  const char* const keys[] = {"dbname", "connect_timeout", nullptr};
  const char* const values[] = {conninfo.c_str(), "2", nullptr};
  const PGPing answer = PQpingParams(keys, values, /*expand_dbname=*/1);
  return answer == PQPING_NO_RESPONSE || answer == PQPING_REJECT;
}

}  // namespace postrider
