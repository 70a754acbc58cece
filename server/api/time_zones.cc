#include "server/api/time_zones.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <unordered_set>

namespace postrider {

namespace {

constexpr const char* kDirectory = "/usr/share/zoneinfo";

bool IsZoneFile(const std::filesystem::path& path) {
  char magic[4] = {};
  std::ifstream file(path, std::ios::binary);
  return file.read(magic, sizeof magic) && std::string_view(magic, sizeof magic) == "TZif";
}

/// "posix/" and "right/" hold the zones once more, with other ideas of leap seconds.
bool IsAnotherSet(const std::filesystem::path& path) {
  return path.filename() == "posix" || path.filename() == "right";
}

std::unordered_set<std::string> ReadNames() {
  namespace fs = std::filesystem;
  std::unordered_set<std::string> names = {"UTC"};
  std::error_code error;
  fs::recursive_directory_iterator it(kDirectory, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (it->is_directory(error)) {
      if (IsAnotherSet(it->path())) it.disable_recursion_pending();
      continue;
    }
    const std::string name = it->path().lexically_relative(kDirectory).string();
    if (name != "localtime" && name != "posixrules" && IsZoneFile(it->path())) names.insert(name);
  }
  return names;
}

}  // namespace

bool IsTimeZoneName(std::string_view name) {
  static const auto& names = *new std::unordered_set<std::string>(ReadNames());
  return names.contains(std::string(name));
}

}  // namespace postrider
