#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/file_lock.h"
#include "server/store/child_process.h"

namespace postrider {

/// A Postgres of our own in the state directory, for those who did not give a database: made at
/// the first start, reached by a unix socket that only its user may open, stopped with us.
///
///   STATE_DIR/postgres        the data; of one major version, which it names
///   STATE_DIR/postgres.log    what Postgres says
///   STATE_DIR/run             the socket's directory, or a link to it when the path is too long
///   STATE_DIR/postgres.lock   held while it runs: one cluster a directory
///
/// Data is as safe as in any Postgres: fsync is on, checksums are on. What a kill -9 of us or of
/// it left behind is stopped or recovered by the next Start(). When we are root it runs as the
/// user `postgres`. Settings are in postgres/postgresql.conf, for the operator to change.
///
/// Blocks. Not thread safe. Its children never get a signal of our terminal, so that the gateway
/// can drain into it after Ctrl-C.
/// Source: PostgreSQL manual, "Server Setup and Operation".
class PrivateCluster {
 public:
  struct Options {
    std::string user_when_root = "postgres";
    std::chrono::seconds start_deadline{300};  ///< Replaying the log after a crash takes time.
    std::chrono::seconds stop_deadline{60};    ///< Of the fast shutdown; then the immediate one.
  };

  /// Makes the directory, the data and the database `postrider` when they are missing, and waits
  /// until it answers. The message is one line for the operator:
  ///   UNAVAILABLE          another gateway uses `state_dir`
  ///   FAILED_PRECONDITION  no Postgres server is installed, or not the data's version; the
  ///                        directory cannot be used; no space; Postgres refused to start
  ///   DEADLINE_EXCEEDED    it did not answer within `start_deadline`
  /// `stop` ends it early, with some error: what ran by then has ended.
  static absl::StatusOr<std::unique_ptr<PrivateCluster>> Start(const std::string& state_dir,
                                                               Options options,
                                                               std::stop_token stop = {});
  static absl::StatusOr<std::unique_ptr<PrivateCluster>> Start(const std::string& state_dir) {
    return Start(state_dir, Options());
  }
  ~PrivateCluster();

  /// For libpq: the database `postrider` as its owner. Stays the same for the object's life.
  std::string database_url() const { return UrlOf("postrider"); }
  /// Of the server's process.
  pid_t pid() const { return server_ ? server_->pid() : 0; }

  /// OK when the server runs, or ran away and was started again (errors as Start()'s). Cheap when
  /// there is nothing to do: call it now and then.
  absl::Status EnsureRunning();

  /// Fast shutdown: open transactions are rolled back. When that takes longer than
  /// `stop_deadline`, an immediate one, and DEADLINE_EXCEEDED: nothing is lost, but the next start
  /// replays the log. Repeating it does nothing.
  absl::Status Stop();

 private:
  PrivateCluster(std::filesystem::path state_dir, Options options, FileLock lock);

  std::string UrlOf(const std::string& database) const;

  /// In the order of Start().
  absl::Status FindServer();
  absl::Status CheckReach();
  absl::Status MakeData(std::stop_token stop);
  absl::Status ClearSurvivors();
  absl::Status MakeSocketDir();
  absl::Status RunServer(std::stop_token stop);
  absl::Status AwaitReady(std::uintmax_t log_begin, std::stop_token stop);
  absl::Status MakeDatabase();
  absl::Status GiveToUser(const std::filesystem::path& path);

  std::filesystem::path DataDir() const { return state_dir_ / "postgres"; }
  std::filesystem::path LogFile() const { return state_dir_ / "postgres.log"; }

  const std::filesystem::path state_dir_;  ///< Absolute, without links.
  const Options options_;
  const FileLock lock_;
  const std::string user_;  ///< Empty unless we are root.

  std::filesystem::path bin_dir_;
  std::filesystem::path socket_dir_;
  std::optional<ProcessHandle> server_;
};

}  // namespace postrider
