#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

#include "postrider/v1/message_service.pb.h"

namespace postrider::cli {

/// Makes request_ids out of what is to be sent, so that the same file sent twice sends nothing
/// twice: the second time every message is already known to the gateway.
///
/// An id is "line-", 40 hexadecimal digits of the SHA-256 of the message's fields (defaults left
/// out, metadata sorted; neither the file's name, kind and column order nor the line's number
/// counts), "-", and which of the equal messages of this file it is: 1, 2, 3 ... So a line that
/// stands twice in a file is two messages, and both stay so.
/// One object a file; not thread safe; 9 to 21 bytes of memory a line, kMaxLines lines.
class DerivedIds {
 public:
  static constexpr std::size_t kMaxLines = 5'000'000;

  /// `run` goes into every id: another run sends the same file again on purpose.
  explicit DerivedIds(std::string run) : run_(std::move(run)) {}

  /// The id of the next message; nullopt when there were kMaxLines different ones already.
  std::optional<std::string> NextOf(const v1::SendMessageRequest& request);

 private:
  const std::string run_;
  absl::flat_hash_set<std::uint64_t> seen_;                    ///< First 64 bits of the digest.
  absl::flat_hash_map<std::uint64_t, std::uint32_t> repeats_;  ///< Of those seen more than once.
};

}  // namespace postrider::cli
