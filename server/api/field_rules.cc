#include "server/api/field_rules.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"

#include "server/base/strings.h"
#include "server/base/utf8.h"
#include "server/model/limits.h"
#include "server/policy/phone_number.h"

namespace postrider {

namespace {

bool IsKeyCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == ':' ||
         c == '-';
}

constexpr std::int64_t kLastSecond = 4102444800;  // 2100: far beyond every bound

}  // namespace

std::string NameOfPair(std::string_view field, std::string_view key) {
  const std::string_view shown = key.substr(0, kMaxMetadataKeyBytes);
  const bool showable =
      std::all_of(shown.begin(), shown.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  return showable ? StrCat(field, "[", shown, "]") : std::string(field);
}

void FieldRules::Violate(std::string_view field, std::string description) {
  if (violations_.size() >= kMaxViolations) return;
  violations_.push_back({std::string(field), std::move(description)});
}

void FieldRules::Key(std::string_view field, const std::string& value, std::size_t most,
                     bool required) {
  if (value.empty()) {
    if (required) Violate(field, "is required");
  } else if (value.size() > most) {
    Violate(field, StrCat("must be ", most, " bytes at most, not ", value.size()));
  } else if (!std::all_of(value.begin(), value.end(), IsKeyCharacter)) {
    Violate(field, "must be of [A-Za-z0-9._:-]");
  }
}

void FieldRules::Bytes(std::string_view field, const std::string& value, std::size_t most) {
  if (value.size() > most) {
    Violate(field, StrCat("must be ", most, " bytes at most, not ", value.size()));
  } else if (value.find('\0') != std::string::npos) {
    Violate(field, "must not contain NUL");
  } else if (!CharactersOf(value)) {
    Violate(field, "must be UTF-8");
  }
}

void FieldRules::Text(std::string_view field, const std::string& value, std::size_t most) {
  const std::optional<std::size_t> characters = CharactersOf(value);
  if (!characters) {
    Violate(field, "must be UTF-8");
  } else if (*characters == 0) {
    Violate(field, "is required");
  } else if (value.find('\0') != std::string::npos) {
    Violate(field, "must not contain NUL");
  } else if (*characters > most) {
    Violate(field, StrCat("must be ", most, " characters at most, not ", *characters));
  }
}

void FieldRules::Number(std::string_view field, const std::string& value) {
  if (IsE164(value)) return;
  Violate(field, value.empty() ? "is required"
                               : "must be E.164: \"+\", country code and number, 8 to 15 digits "
                                 "without spaces, such as +15551234567");
}

std::optional<WallTime> FieldRules::Time(std::string_view field,
                                         const google::protobuf::Timestamp& value) {
  if (value.seconds() < 0 || value.seconds() > kLastSecond || value.nanos() < 0 ||
      value.nanos() > 999'999'999) {
    Violate(field, "must be a time from 1970 to 2100");
    return std::nullopt;
  }
  return WallTime{} + std::chrono::seconds(value.seconds()) +
         std::chrono::microseconds(value.nanos() / 1000);
}

}  // namespace postrider
