#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "absl/status/statusor.h"

namespace postrider {

/// What private_cluster.cc must know of a Postgres installation and of a data directory.

/// The directory of the programs `postgres` and `initdb`: what pg_config says, else the newest
/// below /usr/lib/postgresql. `major` 0: any version. FAILED_PRECONDITION when there is none.
absl::StatusOr<std::filesystem::path> FindPostgresPrograms(int major);

/// The major version that wrote `data_dir`; 0 when it holds no data.
int MajorVersionOf(const std::filesystem::path& data_dir);

/// The server process according to `data_dir`/postmaster.pid, alive or not; 0 when none is named.
pid_t NamedServerOf(const std::filesystem::path& data_dir);

/// Living Postgres processes that work in `data_dir`, which must be absolute and without links.
std::vector<pid_t> ProcessesIn(const std::filesystem::path& data_dir);

/// What is appended to postgresql.conf of a new cluster.
std::string_view PostgresSettings();

/// The first fatal error that stands in `log_file` after its first `begin` bytes, with its detail;
/// "" when there is none.
std::string FatalErrorIn(const std::filesystem::path& log_file, std::uintmax_t begin);

}  // namespace postrider
