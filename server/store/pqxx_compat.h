#pragma once

// libpqxx 6.4 (Debian 12) and 7.10 (Debian 13) side by side: everything that differs is here.

#include <exception>
#include <memory>
#include <span>
#include <string>

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

/// Runs a prepared statement; a null pointer is NULL.
inline pqxx::result ExecPrepared(pqxx::transaction_base& work, const std::string& name,
                                 std::span<const char* const> values) {
#if PQXX_VERSION_MAJOR < 7
  return work.exec_prepared(name, pqxx::prepare::make_dynamic_params(values.begin(), values.end()));
#else
  pqxx::params params;
  params.reserve(values.size());
  for (const char* const value : values) params.append(value);
  return work.exec(pqxx::prepped{name}, params);
#endif
}

/// Runs a statement with parameters, once.
template <typename... Args>
pqxx::result ExecOnce(pqxx::work& work, const std::string& sql, const Args&... args) {
#if PQXX_VERSION_MAJOR < 7
  return work.exec_params(sql, args...);
#else
  return work.exec(sql, pqxx::params{args...});
#endif
}

/// Says whether the server has sent a NOTICE or WARNING. Goes before its connection does.
class NoticeFlag {
 public:
  explicit NoticeFlag(pqxx::connection& connection)
#if PQXX_VERSION_MAJOR < 7
      : listener_(connection, *raised_) {
  }
#else
  {
    connection.set_notice_handler([raised = raised_](pqxx::zview) noexcept { *raised = true; });
  }
#endif

  void Lower() { *raised_ = false; }
  bool raised() const { return *raised_; }

 private:
  const std::shared_ptr<bool> raised_ = std::make_shared<bool>(false);
#if PQXX_VERSION_MAJOR < 7
  struct Listener final : pqxx::errorhandler {
    Listener(pqxx::connection& connection, bool& flag)
        : pqxx::errorhandler(connection), raised(flag) {}
    bool operator()(const char* /*message*/) noexcept override { return raised = true; }
    bool& raised;
  };
  Listener listener_;
#endif
};

/// The SQLSTATE of an error; libpqxx 6 leaves it out of a refused privilege.
inline std::string SqlstateOf(const pqxx::sql_error& error) {
  const bool refused = dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr;
  return refused && error.sqlstate().empty() ? "42501" : error.sqlstate();
}

/// SQLSTATE 40001 and 40P01, which are no sql_error in libpqxx 6.
inline bool IsWorthRepeating(const std::exception& error) {
  return dynamic_cast<const pqxx::serialization_failure*>(&error) != nullptr ||
         dynamic_cast<const pqxx::deadlock_detected*>(&error) != nullptr;
}

}  // namespace postrider
