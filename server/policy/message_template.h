#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace postrider {

/// Whether `name` may be a place's: 1 to kMaxPlaceNameBytes of [a-z0-9_]. Pure.
bool IsPlaceName(std::string_view name);

/// The parts of a template's text: words and places for values in turn.
class ParsedTemplate {
 public:
  /// "{name}" is a place, of 1 to 32 of [a-z0-9_]; "{{" and "}}" stand for braces. Errors:
  /// INVALID_ARGUMENT, with the character, from 1.
  static absl::StatusOr<ParsedTemplate> Parse(std::string_view text);

  /// The text with `values` in the places. Errors: INVALID_ARGUMENT "NAME: why", when a place has
  /// no value, a value no place, or one is empty or longer than kMaxTemplateValueCharacters.
  absl::StatusOr<std::string> Fill(const std::map<std::string, std::string>& values) const;

  /// Whether `text` may be this template with values: something in each place. `text`: UTF-8.
  bool Matches(std::string_view text) const;

  /// Of the places, in order, each once.
  const std::vector<std::string>& names() const { return names_; }
  /// The text between the places: one more than there are places.
  const std::vector<std::string>& words() const { return words_; }

 private:
  std::vector<std::string> words_;
  std::vector<std::string> places_;  ///< By words_: the place after each but the last.
  std::vector<std::string> names_;
};

}  // namespace postrider
