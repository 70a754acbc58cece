#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include <nlohmann/json_fwd.hpp>

namespace postrider {

/// What ParseJson takes from a stranger.
struct JsonLimits {
  std::size_t bytes = 1 << 20;  ///< Of the text.
  int depth = 32;               ///< Objects and arrays within each other, the outermost counted.
};

/// A parsed JSON value, read only. Copies are cheap and share the document, so a part may outlive
/// the whole. No operation throws. Safe to read from any thread.
///
/// Absent, null and "of another type" are all std::nullopt: what a caller can use, or nothing.
class Json {
 public:
  bool IsObject() const;
  bool IsArray() const;

  /// Members of this object, by name; nullopt when this is not an object.
  std::optional<std::string> GetString(std::string_view key) const;
  /// Whole numbers that fit; 3.0 and 1e3 are not whole numbers here.
  std::optional<std::int64_t> GetInt(std::string_view key) const;
  std::optional<double> GetNumber(std::string_view key) const;
  std::optional<bool> GetBool(std::string_view key) const;
  std::optional<Json> GetObject(std::string_view key) const;
  /// The elements of the array `key`, nulls included.
  std::optional<std::vector<Json>> GetArray(std::string_view key) const;
  /// The members of the object `key` that are strings; the others are left out.
  std::optional<std::map<std::string, std::string>> GetStringMap(std::string_view key) const;

  /// The elements of this array; none when it is not an array.
  std::vector<Json> Items() const;
  /// This value itself as a string or a whole number.
  std::optional<std::string> AsString() const;
  std::optional<std::int64_t> AsInt() const;

 private:
  friend absl::StatusOr<Json> ParseJson(std::string_view text, JsonLimits limits);
  explicit Json(std::shared_ptr<const nlohmann::json> node) : node_(std::move(node)) {}
  const nlohmann::json* Find(std::string_view key) const;

  std::shared_ptr<const nlohmann::json> node_;
};

/// Reads one JSON text, hostile ones included: time and memory are bounded by `limits`, and it
/// does not recurse.
///
/// INVALID_ARGUMENT, naming the place (a byte, or a path such as /metadata/name) but no value:
/// too long or too deep, not JSON, invalid UTF-8, a name twice in one object, a number out of
/// range, U+0000 in a string or a name (PostgreSQL cannot store it).
/// Source: RFC 8259.
absl::StatusOr<Json> ParseJson(std::string_view text, JsonLimits limits = {});

class JsonArray;

/// An object to be written, members in the order of their first Set(). Setting a name again
/// replaces its value. Not thread safe.
class JsonObject {
 public:
  JsonObject();
  ~JsonObject();
  JsonObject(const JsonObject& other);
  JsonObject(JsonObject&&) noexcept;
  JsonObject& operator=(const JsonObject& other);
  JsonObject& operator=(JsonObject&&) noexcept;

  JsonObject& Set(std::string_view key, std::string_view text);
  JsonObject& Set(std::string_view key, const std::string& text) {
    return Set(key, std::string_view(text));
  }
  JsonObject& Set(std::string_view key, const char* text) {
    return Set(key, std::string_view(text));
  }
  JsonObject& Set(std::string_view key, std::int64_t number);
  JsonObject& Set(std::string_view key, int number) {
    return Set(key, static_cast<std::int64_t>(number));
  }
  JsonObject& Set(std::string_view key, double number);
  JsonObject& Set(std::string_view key, bool flag);
  JsonObject& Set(std::string_view key, const JsonObject& object);
  JsonObject& Set(std::string_view key, const JsonArray& array);
  JsonObject& Set(std::string_view key, const std::map<std::string, std::string>& strings);
  JsonObject& SetNull(std::string_view key);

  /// Compact, one line. Bytes that are not UTF-8 become U+FFFD; infinities and NaN become null.
  std::string Dump() const;

 private:
  friend class JsonArray;
  std::unique_ptr<nlohmann::ordered_json> value_;
};

/// An array to be written. Not thread safe.
class JsonArray {
 public:
  JsonArray();
  ~JsonArray();
  JsonArray(const JsonArray& other);
  JsonArray(JsonArray&&) noexcept;
  JsonArray& operator=(const JsonArray& other);
  JsonArray& operator=(JsonArray&&) noexcept;

  JsonArray& Add(std::string_view text);
  JsonArray& Add(const JsonObject& object);

  std::string Dump() const;

 private:
  friend class JsonObject;
  std::unique_ptr<nlohmann::ordered_json> value_;
};

}  // namespace postrider
