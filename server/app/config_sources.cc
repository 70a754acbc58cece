#include "server/app/config_sources.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>
#include <yaml-cpp/yaml.h>

#include "server/base/nearest.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

constexpr std::size_t kMaxConfigBytes = 1024 * 1024;
constexpr std::string_view kPrefix = "POSTRIDER_";

/// Variables of the CLI (client/): not ours, and no mistake when they are set.
constexpr std::string_view kClientVariables[] = {
    "POSTRIDER_ADDRESS",        "POSTRIDER_ADMIN_ADDRESS",       "POSTRIDER_CRASH_AT",
    "POSTRIDER_OPERATOR_TOKEN", "POSTRIDER_OPERATOR_TOKEN_FILE", "POSTRIDER_SENDER",
    "POSTRIDER_TOKEN",          "POSTRIDER_TOKEN_FILE"};

/// The spelling of every option in one source.
std::vector<std::string> NamesBy(std::string (*spell)(const Option&), bool file_only = false) {
  std::vector<std::string> names;
  for (const Option& option : OptionTable()) {
    if (option.in_file || !file_only) names.push_back(spell(option));
  }
  return names;
}

std::string FlagOf(const Option& option) { return StrCat("--", option.name); }
std::string KeyOf(const Option& option) { return std::string(option.name); }

std::string UnknownText(std::string_view name, const std::vector<std::string>& known) {
  const std::string nearest = NearestOf(name, known);
  return nearest.empty() ? StrCat(name, " is not an option; --help lists them")
                         : StrCat(name, " is not an option; the nearest is ", nearest);
}

/// What CLI11 left over: an unknown flag, with the word after it if that may be its value, and
/// words that belong to no flag.
void NoteLeftOver(const std::vector<std::string>& words, const std::vector<std::string>& others,
                  std::vector<std::string>& problems) {
  std::vector<std::string> known = NamesBy(FlagOf);
  known.insert(known.end(), others.begin(), others.end());
  bool value_may_follow = false;
  for (const std::string& word : words) {
    if (word.starts_with('-') && word != "--") {
      const std::size_t equals = word.find('=');
      problems.push_back(UnknownText(word.substr(0, equals), known));
      value_may_follow = equals == word.npos;
    } else {
      if (!value_may_follow) problems.push_back(StrCat("\"", word, "\" belongs to no flag"));
      value_may_follow = false;
    }
  }
}

/// Reads at most one byte more than is allowed, so that the caller sees that it is too much.
bool ReadUpTo(const std::string& path, std::string& text) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  text.resize(kMaxConfigBytes + 1);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return !file.bad();
}

std::string PlaceOf(const std::string& path, const YAML::Mark& mark) {
  return StrCat(path, ":", mark.line + 1);
}

/// A scalar's text, or a sequence's items with commas.
bool TextOf(const YAML::Node& node, std::string& text) {
  if (node.IsScalar()) {
    text = node.Scalar();
    return true;
  }
  if (!node.IsSequence()) return false;
  for (const YAML::Node& item : node) {
    if (!item.IsScalar()) return false;
    StrAppend(text, text.empty() ? "" : ",", item.Scalar());
  }
  return true;
}

void ReadPair(const std::string& path, const YAML::Node& key, const YAML::Node& value,
              std::map<std::string, std::string>& seen, GivenOptions& given) {
  const std::string where = PlaceOf(path, key.Mark());
  if (!key.IsScalar()) {
    given.problems.push_back(StrCat(where, ": a key must be the name of an option"));
    return;
  }
  const std::string& name = key.Scalar();
  const auto [first, is_new] = seen.emplace(name, where);
  if (!is_new) {
    given.problems.push_back(StrCat(where, ": ", name, " stands at ", first->second, " already"));
    return;
  }
  const auto table = OptionTable();
  const auto option = std::find_if(table.begin(), table.end(), [&](const Option& candidate) {
    return candidate.in_file && candidate.name == name;
  });
  if (option == table.end()) {
    given.problems.push_back(StrCat(where, ": ", UnknownText(name, NamesBy(KeyOf, true))));
    return;
  }
  std::string text;
  const bool list = option->kind == OptionKind::kSenders;
  if (!TextOf(value, text) || (value.IsSequence() && !list)) {
    given.problems.push_back(
        StrCat(where, ": ", name, " must be ", AllowedOf(*option), "; this is no single value"));
    return;
  }
  given.options.push_back({&*option, text, where});
}

}  // namespace

GivenOptions ReadFlags(const std::vector<std::string>& flags,
                       const std::vector<std::string>& others) {
  GivenOptions given;
  CLI::App parser;
  parser.set_help_flag();
  parser.allow_extras();
  std::vector<std::pair<const Option*, CLI::Option*>> parsed;
  for (const Option& option : OptionTable()) {
    CLI::Option* flag = option.kind == OptionKind::kBool ? parser.add_flag(FlagOf(option))
                                                         : parser.add_option(FlagOf(option));
    // CLI11 stops at the first problem, so it is made to find none: counting is done below.
    if (option.kind != OptionKind::kBool) flag->expected(0, 1)->allow_extra_args(false);
    flag->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    parsed.emplace_back(&option, flag);
  }
  try {
    parser.parse(std::vector<std::string>(flags.rbegin(), flags.rend()));
  } catch (const CLI::ParseError& error) {
    given.problems.push_back(error.what());
    return given;
  }
  for (const auto& [option, flag] : parsed) {
    const std::vector<std::string>& texts = flag->results();
    if (texts.empty()) continue;
    if (texts.size() > 1) {
      given.problems.push_back(StrCat(FlagOf(*option), " is given ", texts.size(), " times"));
    } else if (texts[0].empty()) {
      given.problems.push_back(StrCat(FlagOf(*option), " needs a value: ", AllowedOf(*option)));
    } else {
      given.options.push_back({option, texts[0], FlagOf(*option)});
    }
  }
  NoteLeftOver(parser.remaining(), others, given.problems);
  return given;
}

GivenOptions ReadEnvironment(const std::vector<std::string>& environment) {
  GivenOptions given;
  const std::vector<std::string> known = NamesBy(VariableOf);
  for (const std::string& line : environment) {
    const std::size_t equals = line.find('=');
    if (!line.starts_with(kPrefix) || equals == line.npos) continue;
    const std::string name = line.substr(0, equals);
    const auto found = std::find(known.begin(), known.end(), name);
    if (found != known.end()) {
      const Option& option = OptionTable()[static_cast<std::size_t>(found - known.begin())];
      given.options.push_back({&option, line.substr(equals + 1), name});
    } else if (std::find(std::begin(kClientVariables), std::end(kClientVariables), name) ==
               std::end(kClientVariables)) {
      given.problems.push_back(UnknownText(name, known));
    }
  }
  return given;
}

GivenOptions ReadConfigFile(const std::string& path) {
  GivenOptions given;
  std::string text;
  if (!ReadUpTo(path, text)) {
    given.problems.push_back(StrCat(path, ": cannot be read: ", std::strerror(errno)));
    return given;
  }
  if (text.size() > kMaxConfigBytes) {
    given.problems.push_back(StrCat(path, ": larger than ", kMaxConfigBytes, " bytes"));
    return given;
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty() || (documents.size() == 1 && documents[0].IsNull())) return given;
    if (documents.size() > 1 || !documents[0].IsMap()) {
      given.problems.push_back(
          StrCat(path, ": must be one YAML map, with lines as \"key: value\""));
      return given;
    }
    std::map<std::string, std::string> seen;
    for (const auto& pair : documents[0]) ReadPair(path, pair.first, pair.second, seen, given);
  } catch (const YAML::Exception& error) {
    given.problems.push_back(StrCat(PlaceOf(path, error.mark), ": is not YAML: ", error.msg));
  }
  return given;
}

}  // namespace postrider
