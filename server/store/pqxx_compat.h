#pragma once

// libpqxx 6.4 (Debian 12) and 7.10 (Debian 13) side by side: everything that differs is here.

#include <exception>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
#include <pqxx/pqxx>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace postrider {

/// libpqxx 6 makes a lost connection anew by itself, without our settings and prepared
/// statements; 7 no longer does.
inline void NeverReconnectSilently([[maybe_unused]] pqxx::connection& connection) {
#if PQXX_VERSION_MAJOR < 7
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection.inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
}

/// SQLSTATE 40001 and 40P01, which are no sql_error in libpqxx 6.
inline bool IsWorthRepeating(const std::exception& error) {
  return dynamic_cast<const pqxx::serialization_failure*>(&error) != nullptr ||
         dynamic_cast<const pqxx::deadlock_detected*>(&error) != nullptr;
}

}  // namespace postrider
