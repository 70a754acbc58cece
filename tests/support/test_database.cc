#include "tests/support/test_database.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <libpq-fe.h>
#include <memory>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/store/migrate.h"
#include "server/store/private_cluster.h"

namespace postrider {

namespace {

constexpr const char* kTemplate = "postrider_template";

[[noreturn]] void Die(std::string_view what, std::string_view why) {
  std::fprintf(stderr, "test database: %s: %s\n", std::string(what).c_str(),
               std::string(why).c_str());
  std::abort();
}

/// What a test program that was not started by ctest has for itself.
struct OwnCluster {
  TestDir dir;
  std::unique_ptr<PrivateCluster> cluster;

  OwnCluster() {
    auto started = PrivateCluster::Start(dir.path());
    if (!started.ok()) Die("no Postgres", ToStd(started.status().message()));
    cluster = *std::move(started);
  }
};

std::string ClusterUrl() {
  if (const char* file = std::getenv("POSTGRES_TEST_URL_FILE"); file != nullptr) {
    std::string url;
    if (std::ifstream in(file); std::getline(in, url)) return url;
  }
  static OwnCluster own;
  return own.cluster->database_url();
}

/// `url`, which ends its path in "/postrider?", with another database.
std::string UrlOf(std::string url, std::string_view database) {
  constexpr std::string_view kDefault = "/postrider?";
  return url.replace(url.find(kDefault), kDefault.size(), StrCat("/", database, "?"));
}

class Session {
 public:
  explicit Session(const std::string& url) : connection_(PQconnectdb(url.c_str()), &PQfinish) {
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
      Die("cannot connect", PQerrorMessage(connection_.get()));
    }
    Run("SET client_min_messages = warning");
  }

  /// The number of rows.
  int Run(const std::string& sql) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
        PQexec(connection_.get(), sql.c_str()), &PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      Die(sql, PQerrorMessage(connection_.get()));
    }
    return PQntuples(result.get());
  }

 private:
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

/// Several test programs share a server; the lock lets one of them make the template.
void MakeTemplate(const std::string& cluster_url) {
  Session session(cluster_url);
  session.Run("SELECT pg_advisory_lock(7070)");
  const std::string named = StrCat("'", kTemplate, "'");
  if (session.Run(StrCat("SELECT 1 FROM pg_database WHERE datname = ", named)) == 0) {
    const std::string draft = StrCat(kTemplate, "_draft");
    session.Run(StrCat("DROP DATABASE IF EXISTS ", draft));
    session.Run(StrCat("CREATE DATABASE ", draft));
    const absl::StatusOr<int> migrated = MigrateUp(UrlOf(cluster_url, draft), SystemClock());
    if (!migrated.ok()) Die("the template", ToStd(migrated.status().message()));
    session.Run(StrCat("ALTER DATABASE ", draft, " RENAME TO ", kTemplate));
    // What a test leaves is thrown away: nothing here has to outlive the machine.
    for (const char* setting : {"fsync", "full_page_writes"}) {
      session.Run(StrCat("ALTER SYSTEM SET ", setting, " = off"));
    }
    session.Run("SELECT pg_reload_conf()");
  }
  session.Run("SELECT pg_advisory_unlock(7070)");
}

}  // namespace

TestDatabase::TestDatabase() {
  static std::atomic<int> count = 0;
  const std::string cluster_url = ClusterUrl();
  MakeTemplate(cluster_url);
  name_ = StrCat("test_", getpid(), "_", ++count);
  url_ = UrlOf(cluster_url, name_);
  // Its files are copied, not written page by page to the log: a third of the time.
  Session(cluster_url)
      .Run(StrCat("CREATE DATABASE ", name_, " TEMPLATE ", kTemplate, " STRATEGY FILE_COPY"));
}

TestDatabase::~TestDatabase() {
  Session session(ClusterUrl());
  for (const std::string& name : {name_, BackupName()}) {
    session.Run(StrCat("DROP DATABASE IF EXISTS ", name, " WITH (FORCE)"));
  }
}

std::string TestDatabase::BackupName() const { return StrCat(name_, "_backup"); }

void TestDatabase::BackUp() const {
  Session session(ClusterUrl());
  session.Run(StrCat("DROP DATABASE IF EXISTS ", BackupName()));
  session.Run(StrCat("CREATE DATABASE ", BackupName(), " TEMPLATE ", name_, " STRATEGY FILE_COPY"));
}

void TestDatabase::Restore() const {
  Session session(ClusterUrl());
  session.Run(StrCat("DROP DATABASE ", name_, " WITH (FORCE)"));
  session.Run(StrCat("ALTER DATABASE ", BackupName(), " RENAME TO ", name_));
}

TestDir::TestDir() {
  std::string path = (std::filesystem::temp_directory_path() / "postrider-test-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) Die("mkdtemp", path);
  // The server runs as another user when we are root.
  if (chmod(path.c_str(), 0711) != 0) Die("chmod", path);
  path_ = path;
}

TestDir::~TestDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace postrider
