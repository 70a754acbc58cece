#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/timestamp.pb.h"

#include "server/api/api_error.h"
#include "server/base/clock.h"

namespace postrider {

/// The name of one pair of a map field: "metadata[key]". The key is the caller's: shown only when
/// it is printable ASCII, and only as far as a good one is long.
std::string NameOfPair(std::string_view field, std::string_view key);

/// Gathers the violations of one request. Names of fields are as in the .proto.
class FieldRules {
 public:
  void Violate(std::string_view field, std::string description);

  /// 1 to `most` of [A-Za-z0-9._:-]; may be empty unless `required`.
  void Key(std::string_view field, const std::string& value, std::size_t most, bool required);
  /// `most` bytes of UTF-8 without NUL; may be empty.
  void Bytes(std::string_view field, const std::string& value, std::size_t most);
  /// 1 to `most` characters of UTF-8 without NUL.
  void Text(std::string_view field, const std::string& value, std::size_t most);
  /// "+", country code and number, 8 to 15 digits. Source: ITU-T E.164.
  void Number(std::string_view field, const std::string& value);
  /// To microseconds, which is what is stored. From 1970 on.
  std::optional<WallTime> Time(std::string_view field, const google::protobuf::Timestamp& value);

  bool ok() const { return violations_.empty(); }
  std::vector<ApiError::FieldViolation> Take() { return std::move(violations_); }

 private:
  std::vector<ApiError::FieldViolation> violations_;
};

}  // namespace postrider
