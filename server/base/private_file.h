#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace postrider {

/// Writes `text` to `path` with mode 0600 by way of a new file and a rename: a reader never sees
/// half of it, and neither does a start after a crash. Durable when OK; else FAILED_PRECONDITION,
/// which names the file, and what was there before stays. Blocks for the disk.
absl::Status WritePrivateFile(const std::string& path, std::string_view text);

/// Makes the names in `dir` durable: without it a crash of the machine may forget a new file or a
/// rename. False: errno says why. Blocks for the disk.
bool SyncDirectory(const std::string& dir);

}  // namespace postrider
