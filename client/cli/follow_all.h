#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/cli/context.h"
#include "client/client.h"

namespace postrider::cli {

/// Message ids put aside in a temporary file, so that a million of them cost no memory.
class IdSpool {
 public:
  IdSpool() : file_(std::tmpfile()) {}
  /// False when there is no room for temporary files.
  bool Add(const std::string& message_id);
  std::uint64_t size() const { return size_; }
  /// Back to the first id.
  void Rewind();
  /// Up to `count` ids; none at the end.
  std::vector<std::string> Read(std::size_t count);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::uint64_t size_ = 0;
};

/// How many messages are in each state.
using StateCounts = std::map<std::string, std::uint64_t>;

/// Follows every message in `ids` until it is final, 1000 at a time (as many as one stream takes),
/// and counts their last states. Stopped by Ctrl-C it counts what it knows; the rest is
/// "NOT_FOLLOWED". Errors as of Client::Watch.
absl::StatusOr<StateCounts> FollowAll(const Context& context, const client::Client& client,
                                      IdSpool& ids);

}  // namespace postrider::cli
