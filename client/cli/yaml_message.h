#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>

namespace postrider::cli {

/// Where the keys of a file stand, by their paths.
class YamlPlaces {
 public:
  /// `place` is "FILE:LINE:COLUMN", `path` such as "campaigns[0].daily_cap".
  void Note(const std::string& path, std::string place) { places_[path] = std::move(place); }
  /// The part of a list at `path` is also known by what its first field says.
  void NoteName(const std::string& list, const std::string& name, const std::string& path);
  /// Of `path`, whose parts of lists are there by name or by number; else of what it is a part of.
  /// Empty when there is none.
  std::string Of(std::string path) const;

 private:
  std::map<std::string, std::string> places_;
  std::map<std::string, std::string> names_;  ///< "campaigns[spring]": "campaigns[0]"
};

/// Reads `text`, one YAML map, into `message`: keys are names of its fields, as in the .proto.
/// Enums are words in any case, with or without their prefix; times are RFC 3339; a message that
/// is but a list may be written as the list. A key with nothing after it is an empty list, and
/// nothing for any other field.
///
/// Returns everything that is wrong, each as "FILE:LINE:COLUMN: key: why", with the key as a path;
/// empty when nothing is. `name`: the file's, for these. `places`: gets where each key stands.
std::vector<std::string> ReadYaml(std::string_view text, std::string_view name,
                                  google::protobuf::Message& message, YamlPlaces* places = nullptr);

}  // namespace postrider::cli
