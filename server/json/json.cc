#include "server/json/json.h"

#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

namespace postrider {

namespace {

std::optional<std::int64_t> IntOf(const nlohmann::json& node) {
  if (node.is_number_unsigned()) {
    const auto value = *node.get_ptr<const nlohmann::json::number_unsigned_t*>();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    return static_cast<std::int64_t>(value);
  }
  if (node.is_number_integer()) return *node.get_ptr<const nlohmann::json::number_integer_t*>();
  return {};
}

std::string DumpOf(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

bool Json::IsObject() const { return node_->is_object(); }
bool Json::IsArray() const { return node_->is_array(); }

const nlohmann::json* Json::Find(std::string_view key) const {
  if (!node_->is_object()) return nullptr;
  const auto found = node_->find(std::string(key));
  return found == node_->end() ? nullptr : &*found;
}

std::optional<std::string> Json::GetString(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  if (node == nullptr || !node->is_string()) return {};
  return *node->get_ptr<const std::string*>();
}

std::optional<std::int64_t> Json::GetInt(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  return node == nullptr ? std::nullopt : IntOf(*node);
}

std::optional<double> Json::GetNumber(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  if (node == nullptr || !node->is_number()) return {};
  return node->get<double>();
}

std::optional<bool> Json::GetBool(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  if (node == nullptr || !node->is_boolean()) return {};
  return *node->get_ptr<const bool*>();
}

std::optional<Json> Json::GetObject(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  if (node == nullptr || !node->is_object()) return {};
  return Json({node_, node});
}

std::optional<std::vector<Json>> Json::GetArray(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  if (node == nullptr || !node->is_array()) return {};
  return Json({node_, node}).Items();
}

std::optional<std::map<std::string, std::string>> Json::GetStringMap(std::string_view key) const {
  const nlohmann::json* node = Find(key);
  if (node == nullptr || !node->is_object()) return {};
  std::map<std::string, std::string> strings;
  for (const auto& member : node->items()) {
    if (const auto* text = member.value().get_ptr<const std::string*>())
      strings.emplace(member.key(), *text);
  }
  return strings;
}

std::vector<Json> Json::Items() const {
  std::vector<Json> items;
  if (!node_->is_array()) return items;
  items.reserve(node_->size());
  for (const nlohmann::json& node : *node_) items.push_back(Json({node_, &node}));
  return items;
}

std::optional<std::string> Json::AsString() const {
  if (!node_->is_string()) return {};
  return *node_->get_ptr<const std::string*>();
}

std::optional<std::int64_t> Json::AsInt() const { return IntOf(*node_); }

JsonObject::JsonObject()
    : value_(std::make_unique<nlohmann::ordered_json>(nlohmann::ordered_json::object())) {}
JsonObject::~JsonObject() = default;
JsonObject::JsonObject(const JsonObject& other)
    : value_(std::make_unique<nlohmann::ordered_json>(*other.value_)) {}
JsonObject::JsonObject(JsonObject&&) noexcept = default;
JsonObject& JsonObject::operator=(const JsonObject& other) {
  *value_ = *other.value_;
  return *this;
}
JsonObject& JsonObject::operator=(JsonObject&&) noexcept = default;

JsonObject& JsonObject::Set(std::string_view key, std::string_view text) {
  (*value_)[std::string(key)] = std::string(text);
  return *this;
}
JsonObject& JsonObject::Set(std::string_view key, std::int64_t number) {
  (*value_)[std::string(key)] = number;
  return *this;
}
JsonObject& JsonObject::Set(std::string_view key, double number) {
  (*value_)[std::string(key)] = number;
  return *this;
}
JsonObject& JsonObject::Set(std::string_view key, bool flag) {
  (*value_)[std::string(key)] = flag;
  return *this;
}
JsonObject& JsonObject::Set(std::string_view key, const JsonObject& object) {
  (*value_)[std::string(key)] = *object.value_;
  return *this;
}
JsonObject& JsonObject::Set(std::string_view key, const JsonArray& array) {
  (*value_)[std::string(key)] = *array.value_;
  return *this;
}
JsonObject& JsonObject::Set(std::string_view key,
                            const std::map<std::string, std::string>& strings) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, text] : strings) object[name] = text;
  (*value_)[std::string(key)] = std::move(object);
  return *this;
}
JsonObject& JsonObject::SetNull(std::string_view key) {
  (*value_)[std::string(key)] = nullptr;
  return *this;
}

std::string JsonObject::Dump() const { return DumpOf(*value_); }

JsonArray::JsonArray()
    : value_(std::make_unique<nlohmann::ordered_json>(nlohmann::ordered_json::array())) {}
JsonArray::~JsonArray() = default;
JsonArray::JsonArray(const JsonArray& other)
    : value_(std::make_unique<nlohmann::ordered_json>(*other.value_)) {}
JsonArray::JsonArray(JsonArray&&) noexcept = default;
JsonArray& JsonArray::operator=(const JsonArray& other) {
  *value_ = *other.value_;
  return *this;
}
JsonArray& JsonArray::operator=(JsonArray&&) noexcept = default;

JsonArray& JsonArray::Add(std::string_view text) {
  value_->push_back(std::string(text));
  return *this;
}
JsonArray& JsonArray::Add(const JsonObject& object) {
  value_->push_back(*object.value_);
  return *this;
}

std::string JsonArray::Dump() const { return DumpOf(*value_); }

}  // namespace postrider
