#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include <nlohmann/json.hpp>

#include "server/base/strings.h"
#include "server/json/json.h"

namespace postrider {

namespace {

/// Builds the document from the parser's events and stops it at the first thing we refuse. The
/// parser keeps its own stack on the heap; so does this.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(nlohmann::json& root, int max_depth) : root_(root), max_depth_(max_depth) {}

  const std::string& error() const { return error_; }

  bool null() override { return Place(nullptr) != nullptr; }
  bool boolean(bool value) override { return Place(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Place(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Place(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return Place(value) != nullptr;
  }
  bool string(string_t& value) override {
    if (HasNul(value)) return Refuse(StrCat("U+0000 in the string at ", Here()));
    return Place(std::move(value)) != nullptr;
  }
  bool binary(binary_t&) override { return Refuse("binary value"); }

  bool start_object(std::size_t) override { return Open(nlohmann::json::object()); }
  bool key(string_t& name) override {
    if (HasNul(name)) return Refuse(StrCat("U+0000 in a name within ", PathOf(open_.size() - 1)));
    open_.back().name = std::move(name);
    // Two parsers may choose different copies of a repeated name: one would check what the other
    // uses.
    if (open_.back().node->contains(open_.back().name))
      return Refuse(StrCat("the name at ", Here(), " occurs twice"));
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(nlohmann::json::array()); }
  bool end_array() override { return Close(); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& failure) override {
    // The parser's own words quote the text, which may be private.
    const std::string_view what = failure.what();
    constexpr int kOutOfRange = 406;
    if (failure.id == kOutOfRange) return Refuse(StrCat("number out of range at ", Here()));
    if (what.find("UTF-8") != std::string_view::npos)
      return Refuse(StrCat("invalid UTF-8 at byte ", position));
    return Refuse(StrCat("not JSON at byte ", position));
  }

 private:
  struct Level {
    nlohmann::json* node;
    std::string name;  ///< Of the member being read, when `node` is an object.
  };

  static bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

  bool Refuse(std::string why) {
    error_ = std::move(why);
    return false;
  }

  /// Puts `value` where the parser is and returns its address; it stays valid while it is open,
  /// as an array grows only at its end, after its last element is closed.
  nlohmann::json* Place(nlohmann::json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = open_.back();
    if (level.node->is_array()) {
      level.node->push_back(std::move(value));
      return &level.node->back();
    }
    return &(level.node->emplace(level.name, std::move(value)).first.value());
  }

  bool Open(nlohmann::json empty) {
    if (static_cast<int>(open_.size()) >= max_depth_)
      return Refuse(StrCat("deeper than ", max_depth_, " levels at ", Here()));
    open_.push_back({Place(std::move(empty)), {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  std::string Here() const { return PathOf(open_.size()); }

  /// The path through the first `levels` open values, for people: other than printable ASCII is
  /// '?', and long ones are cut.
  std::string PathOf(std::size_t levels) const {
    constexpr std::size_t kLongest = 80;
    std::string path;
    for (std::size_t i = 0; i < levels && path.size() < kLongest; ++i) {
      const Level& level = open_[i];
      path += '/';
      if (level.node->is_array()) {
        // An open child is already in the array.
        StrAppend(path, level.node->size() - (i + 1 < open_.size() ? 1 : 0));
      } else {
        path += level.name.substr(0, kLongest);
      }
    }
    if (path.empty()) return "the top";
    if (path.size() > kLongest) path = path.substr(0, kLongest) + "...";
    for (char& c : path)
      if (c < ' ' || c > '~') c = '?';
    return path;
  }

  nlohmann::json& root_;
  const int max_depth_;
  std::vector<Level> open_;
  std::string error_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.bytes) {
    return absl::InvalidArgumentError(
        StrCat("JSON of ", text.size(), " bytes, more than ", limits.bytes));
  }
  auto root = std::make_shared<nlohmann::json>();
  Builder builder(*root, limits.depth);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return absl::InvalidArgumentError(StrCat("JSON refused: ", builder.error()));
  return Json(std::move(root));
}

}  // namespace postrider
