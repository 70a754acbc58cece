#include "server/store/private_cluster.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "server/base/log.h"
#include "server/base/private_file.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/store/postgres_files.h"

namespace postrider {

namespace fs = std::filesystem;

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr auto kInitdbTimeout = std::chrono::minutes(2);
constexpr milliseconds kQuickTimeout = 10s;
constexpr milliseconds kReadyCheck = 20ms;
constexpr std::size_t kMaxSocketDirBytes = 85;  ///< sun_path holds 107 with the socket's name.
constexpr std::uintmax_t kMaxLogBytes = 16 * 1024 * 1024;
constexpr const char* kShortDirs = "/tmp/postrider-";
constexpr const char* kPort = "5432";

absl::Status Cannot(std::string_view what, const fs::path& path, std::string_view why) {
  return absl::FailedPreconditionError(StrCat("cannot ", what, " ", path.string(), ": ", why));
}

/// The line that says what went wrong in what initdb printed.
std::string ErrorIn(std::string_view output) {
  while (!output.empty()) {
    const std::size_t end = output.find('\n');
    const std::string_view line = output.substr(0, end);
    if (line.find("rror:") != line.npos || line.find("FATAL:") != line.npos) {
      return std::string(line);
    }
    if (end == output.npos) break;
    output.remove_prefix(end + 1);
  }
  return "it says nothing";
}

/// Makes `dir` and its parents; new ones may be entered by others, so that a server that is not
/// root's reaches its data below, but not read.
absl::Status MakeStateDir(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir.parent_path(), error);
  if (error) return Cannot("make", dir.parent_path(), error.message());
  if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return Cannot("make", dir, std::strerror(errno));
  }
  if (geteuid() != 0) return absl::OkStatus();
  fs::permissions(dir, fs::perms::group_exec | fs::perms::others_exec, fs::perm_options::add,
                  error);
  return error ? Cannot("open to the server", dir, error.message()) : absl::OkStatus();
}

std::string PercentEncoded(const std::string& text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_';
    if (plain) {
      encoded += c;
    } else {
      StrAppend(encoded, "%", std::string(1, kDigits[byte >> 4]),
                std::string(1, kDigits[byte & 15]));
    }
  }
  return encoded;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateCluster>> PrivateCluster::Start(const std::string& state_dir,
                                                                      Options options,
                                                                      std::stop_token stop) {
  PR_RETURN_IF_ERROR(MakeStateDir(fs::absolute(state_dir)));
  std::error_code error;
  const fs::path dir = fs::canonical(state_dir, error);
  if (error) return Cannot("use", state_dir, error.message());
  absl::StatusOr<FileLock> lock = FileLock::TryAcquire(dir / "postgres.lock");
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(StrCat("the state directory ", dir.string(),
                                         " is in use: ", ToStd(lock.status().message())));
  }
  PR_RETURN_IF_ERROR(lock.status());
  std::unique_ptr<PrivateCluster> cluster(
      new PrivateCluster(dir, std::move(options), *std::move(lock)));
  PR_RETURN_IF_ERROR(cluster->FindServer());
  PR_RETURN_IF_ERROR(cluster->CheckReach());
  PR_RETURN_IF_ERROR(cluster->MakeData(stop));
  PR_RETURN_IF_ERROR(cluster->ClearSurvivors());
  PR_RETURN_IF_ERROR(cluster->MakeSocketDir());
  PR_RETURN_IF_ERROR(cluster->RunServer(stop));
  PR_RETURN_IF_ERROR(cluster->MakeDatabase());
  return cluster;
}

PrivateCluster::PrivateCluster(fs::path state_dir, Options options, FileLock lock)
    : state_dir_(std::move(state_dir)),
      options_(std::move(options)),
      lock_(std::move(lock)),
      user_(geteuid() == 0 ? options_.user_when_root : "") {}

PrivateCluster::~PrivateCluster() {
  if (absl::Status status = Stop(); !status.ok()) {
    PR_LOG(kWarning, "private postgres did not stop well", {"error", ToStd(status.message())});
  }
}

std::string PrivateCluster::UrlOf(const std::string& database) const {
  return StrCat("postgresql://postgres@/", database, "?host=", PercentEncoded(socket_dir_.string()),
                "&port=", kPort);
}

absl::Status PrivateCluster::FindServer() {
  PR_ASSIGN_OR_RETURN(bin_dir_, FindPostgresPrograms(MajorVersionOf(DataDir())));
  return absl::OkStatus();
}

absl::Status PrivateCluster::CheckReach() {
  if (user_.empty()) return absl::OkStatus();
  if (getpwnam(user_.c_str()) == nullptr) {  // NOLINT(concurrency-mt-unsafe): before any worker
    return absl::FailedPreconditionError(
        StrCat("PostgreSQL does not run as root, and there is no user ", user_,
               ": install the package postgresql, or run as another user"));
  }
  const auto reached =
      RunProgram({.arguments = {"test", "-x", state_dir_.string()}, .user = user_}, kQuickTimeout);
  if (reached.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the user ", user_, ", as whom PostgreSQL runs, cannot enter ", state_dir_.string(),
             ": choose another --state-dir, or open the directories above it (chmod o+x)"));
}

absl::Status PrivateCluster::MakeData(std::stop_token stop) {
  std::error_code error;
  if (fs::exists(DataDir() / "PG_VERSION", error)) return absl::OkStatus();
  // A name of its own until it is complete: an initdb that was killed leaves nothing behind.
  const fs::path unfinished = state_dir_ / "postgres.new";
  fs::remove_all(unfinished, error);
  if (mkdir(unfinished.c_str(), 0700) != 0) return Cannot("make", unfinished, std::strerror(errno));
  PR_RETURN_IF_ERROR(GiveToUser(unfinished));
  const auto made =
      RunProgram({.arguments = {bin_dir_ / "initdb", "--pgdata", unfinished, "--username=postgres",
                                "--encoding=UTF8", "--locale=C.UTF-8", "--auth-local=trust",
                                "--auth-host=reject", "--data-checksums"},
                  .user = user_},
                 kInitdbTimeout, stop);
  if (!made.ok())
    return Cannot("make a database in", DataDir(), ErrorIn(ToStd(made.status().message())));
  std::ofstream settings(unfinished / "postgresql.conf", std::ios::app);
  settings << PostgresSettings();
  settings.close();
  if (!settings) return Cannot("write", unfinished / "postgresql.conf", std::strerror(errno));
  fs::rename(unfinished, DataDir(), error);
  if (error) return Cannot("make", DataDir(), error.message());
  // Postgres syncs its files, but not what we renamed above them.
  if (SyncDirectory(state_dir_)) return absl::OkStatus();
  return Cannot("sync", state_dir_, std::strerror(errno));
}

absl::Status PrivateCluster::ClearSurvivors() {
  const pid_t named = NamedServerOf(DataDir());
  std::vector<ProcessHandle> survivors;
  for (pid_t pid : ProcessesIn(DataDir())) {
    if (auto process = ProcessHandle::Open(pid); process.ok()) {
      // The others of a server that is gone notice that and end; a busy one needs a while.
      if (pid == named) process->Signal(SIGINT);
      survivors.push_back(*std::move(process));
    }
  }
  if (!survivors.empty()) {
    PR_LOG(kWarning, "stopping the postgres that an earlier gateway left", {"pid", named},
           {"processes", survivors.size()});
  }
  for (const ProcessHandle& process : survivors) {
    if (process.AwaitEnd(options_.stop_deadline)) continue;
    process.Signal(SIGQUIT);
    if (process.AwaitEnd(kQuickTimeout)) continue;
    return absl::FailedPreconditionError(StrCat("an earlier PostgreSQL (pid ", process.pid(),
                                                ") works in ", DataDir().string(),
                                                " and does not end"));
  }
  // Postgres refuses to start when the pid in its file lives. Nobody works in the directory, so
  // it is a stranger's by now.
  std::error_code error;
  if (named > 0 && kill(named, 0) == 0) fs::remove(DataDir() / "postmaster.pid", error);
  return absl::OkStatus();
}

absl::Status PrivateCluster::MakeSocketDir() {
  const fs::path run = state_dir_ / "run";
  std::error_code error;
  if (fs::is_symlink(run, error)) {
    const fs::path earlier = fs::read_symlink(run, error);
    if (earlier.string().starts_with(kShortDirs)) fs::remove_all(earlier, error);
    fs::remove(run, error);
  }
  if (run.string().size() <= kMaxSocketDirBytes) {
    if (mkdir(run.c_str(), 0700) != 0 && errno != EEXIST) {
      return Cannot("make", run, std::strerror(errno));
    }
    socket_dir_ = run;
  } else {
    std::string name = StrCat(kShortDirs, "XXXXXX");
    if (mkdtemp(name.data()) == nullptr) return Cannot("make", name, std::strerror(errno));
    socket_dir_ = name;
    fs::remove_all(run, error);
    fs::create_directory_symlink(name, run, error);
    if (error) return Cannot("make", run, error.message());
  }
  return GiveToUser(socket_dir_);
}

absl::Status PrivateCluster::RunServer(std::stop_token stop) {
  std::error_code error;
  if (fs::file_size(LogFile(), error) > kMaxLogBytes && !error) {
    fs::rename(LogFile(), LogFile().string() + ".1", error);
  }
  const std::uintmax_t log_size = fs::file_size(LogFile(), error);
  const std::uintmax_t log_begin = error ? 0 : log_size;
  auto server = StartProgram(
      {.arguments = {bin_dir_ / "postgres", "-D", DataDir(), "-k", socket_dir_, "-p", kPort, "-c",
                     "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c",
                     "logging_collector=off", "-c", "log_destination=stderr"},
       .user = user_},
      LogFile());
  PR_RETURN_IF_ERROR(server.status());
  server_ = *std::move(server);
  return AwaitReady(log_begin, stop);
}

absl::Status PrivateCluster::AwaitReady(std::uintmax_t log_begin, std::stop_token stop) {
  const auto checks = milliseconds(options_.start_deadline) / kReadyCheck;
  for (auto i = checks; i > 0; --i) {
    if (PQping(UrlOf("postgres").c_str()) == PQPING_OK) return absl::OkStatus();
    if (stop.stop_requested()) return absl::CancelledError("asked to stop");
    if (!server_->AwaitEnd(kReadyCheck)) continue;
    server_.reset();
    const std::string fatal = FatalErrorIn(LogFile(), log_begin);
    return absl::FailedPreconditionError(
        StrCat("PostgreSQL did not start: ", fatal.empty() ? "it says nothing" : fatal, " (",
               LogFile().string(), ")"));
  }
  return absl::DeadlineExceededError(StrCat("PostgreSQL did not answer within ",
                                            options_.start_deadline.count(), " s; see ",
                                            LogFile().string()));
}

absl::Status PrivateCluster::MakeDatabase() {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> session(PQconnectdb(UrlOf("postgres").c_str()),
                                                           &PQfinish);
  const auto run = [&](const char* sql) {
    return std::unique_ptr<PGresult, void (*)(PGresult*)>(PQexec(session.get(), sql), &PQclear);
  };
  const auto found = run("SELECT 1 FROM pg_database WHERE datname = 'postrider'");
  if (PQresultStatus(found.get()) == PGRES_TUPLES_OK && PQntuples(found.get()) == 1) {
    return absl::OkStatus();
  }
  const auto made = run("CREATE DATABASE postrider");
  if (PQresultStatus(made.get()) == PGRES_COMMAND_OK) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("cannot make the database postrider: ", PQerrorMessage(session.get())));
}

absl::Status PrivateCluster::GiveToUser(const fs::path& path) {
  if (user_.empty()) return absl::OkStatus();
  const passwd* user = getpwnam(user_.c_str());  // NOLINT(concurrency-mt-unsafe): as above
  if (user == nullptr || lchown(path.c_str(), user->pw_uid, user->pw_gid) != 0) {
    return Cannot(StrCat("give to the user ", user_), path, std::strerror(errno));
  }
  return absl::OkStatus();
}

absl::Status PrivateCluster::EnsureRunning() {
  if (server_ && !server_->AwaitEnd(0ms)) return absl::OkStatus();
  server_.reset();
  PR_LOG(kError, "private postgres is gone; starting it again");
  PR_RETURN_IF_ERROR(ClearSurvivors());
  return RunServer(std::stop_token());
}

absl::Status PrivateCluster::Stop() {
  if (!server_) return absl::OkStatus();
  const ProcessHandle server = *std::exchange(server_, std::nullopt);
  server.Signal(SIGINT);
  const bool in_time = server.AwaitEnd(options_.stop_deadline);
  if (!in_time) {
    server.Signal(SIGQUIT);
    if (!server.AwaitEnd(kQuickTimeout)) server.Signal(SIGKILL);
    server.AwaitEnd(kQuickTimeout);
  }
  std::error_code error;
  if (socket_dir_.string().starts_with(kShortDirs)) fs::remove_all(socket_dir_, error);
  if (in_time) return absl::OkStatus();
  return absl::DeadlineExceededError(
      "PostgreSQL did not stop in time and was cut off; it will recover at the next start");
}

}  // namespace postrider
