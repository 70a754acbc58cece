#include "client/cli/yaml_message.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <yaml-cpp/yaml.h>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include "client/cli/fields.h"
#include "server/base/nearest.h"
#include "server/base/strings.h"

namespace postrider::cli {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == '-') c = '_';
  }
  return text;
}

/// The prefix of its values' names: that of the one that is 0.
std::string PrefixOf(const EnumDescriptor& type) {
  constexpr std::string_view kZero = "UNSPECIFIED";
  const std::string zero = type.FindValueByNumber(0)->name();
  return zero.size() > kZero.size() ? zero.substr(0, zero.size() - kZero.size()) : "";
}

/// What of a number's text is one, whole.
template <typename Number>
std::optional<Number> NumberOf(const std::string& text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || read != end || text.empty()) return std::nullopt;
  return number;
}

/// The seconds of "90s", "30m", "24h", "7d".
std::optional<std::int64_t> SpanOf(const std::string& text) {
  constexpr std::pair<char, std::int64_t> kUnits[] = {
      {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  constexpr std::int64_t kMost = 10'000'000;  // days, and then some
  for (const auto& [unit, seconds] : kUnits) {
    if (text.empty() || text.back() != unit) continue;
    const auto number = NumberOf<std::int64_t>(text.substr(0, text.size() - 1));
    if (number && *number >= 0 && *number <= kMost) return *number * seconds;
  }
  return std::nullopt;
}

/// The only field of a message that is but a list.
const FieldDescriptor* ListIn(const Descriptor& type) {
  return type.field_count() == 1 && type.field(0)->is_repeated() ? type.field(0) : nullptr;
}

class YamlReader {
 public:
  YamlReader(std::string_view name, YamlPlaces& places) : name_(name), places_(places) {}

  void ReadMap(const YAML::Node& node, const std::string& path, Message& message) {
    if (!node.IsMap()) return Wrong(node, path, "must be a map, with lines as \"key: value\"");
    std::map<std::string, bool> seen;
    for (const auto& pair : node) {
      const std::string key = pair.first.IsScalar() ? pair.first.Scalar() : "";
      const std::string at = path.empty() ? key : StrCat(path, ".", key);
      places_.Note(at, PlaceOf(pair.first.Mark()));
      const FieldDescriptor* const field = message.GetDescriptor()->FindFieldByName(key);
      if (field == nullptr) {
        Wrong(pair.first, at,
              StrCat("there is no such key", Suggested(key, *message.GetDescriptor())));
      } else if (!seen.emplace(key, true).second) {
        Wrong(pair.first, at, "is there twice");
      } else {
        ReadField(pair.second, at, *field, message);
      }
    }
  }
  void Wrong(const YAML::Mark& mark, const std::string& path, std::string_view why) {
    problems_.push_back(StrCat(PlaceOf(mark), ": ", path, path.empty() ? "" : ": ", why));
  }
  std::vector<std::string> Take() { return std::move(problems_); }

 private:
  std::string PlaceOf(const YAML::Mark& mark) const {
    return StrCat(name_, ":", mark.line + 1, ":", mark.column + 1);
  }
  void Wrong(const YAML::Node& node, const std::string& path, std::string_view why) {
    Wrong(node.Mark(), path, why);
  }

  static std::string Suggested(const std::string& key, const Descriptor& type) {
    std::vector<std::string> known;
    for (int i = 0; i < type.field_count(); ++i) known.push_back(type.field(i)->name());
    const std::string near = NearestOf(key, known);
    if (!near.empty()) return StrCat("; did you mean ", near, "?");
    std::string all;
    for (const std::string& name : known) StrAppend(all, all.empty() ? "" : ", ", name);
    return StrCat("; there are ", all);
  }

  void ReadField(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                 Message& message) {
    if (field.is_repeated()) return ReadList(node, path, field, message);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMessage(node, path, field, message);
    }
    if (node.IsNull()) return;
    if (!node.IsScalar()) return Wrong(node, path, "must be one value");
    ReadValue(node, path, field, message);
  }

  void ReadMessage(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                   Message& message) {
    const Reflection& reflection = *message.GetReflection();
    const FieldDescriptor* const list = ListIn(*field.message_type());
    if (list != nullptr && (node.IsSequence() || node.IsNull())) {
      return ReadList(node, path, *list, *reflection.MutableMessage(&message, &field));
    }
    if (list != nullptr) return Wrong(node, path, "must be a list, with lines as \"- ...\"");
    if (node.IsNull()) return;
    if (field.message_type() == google::protobuf::Duration::descriptor()) {
      const auto span = node.IsScalar() ? SpanOf(node.Scalar()) : std::nullopt;
      if (!span) return Wrong(node, path, "must be a time span, such as 90s, 30m, 24h or 7d");
      google::protobuf::Duration duration;
      duration.set_seconds(*span);
      reflection.MutableMessage(&message, &field)->CopyFrom(duration);
      return;
    }
    if (field.message_type() != google::protobuf::Timestamp::descriptor()) {
      return ReadMap(node, path, *reflection.MutableMessage(&message, &field));
    }
    google::protobuf::Timestamp time;
    if (!node.IsScalar() || !google::protobuf::util::TimeUtil::FromString(node.Scalar(), &time)) {
      return Wrong(node, path, "must be a time, such as 2026-03-01T09:00:00Z");
    }
    reflection.MutableMessage(&message, &field)->CopyFrom(time);
  }

  void ReadList(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                Message& message) {
    if (node.IsNull()) return;
    if (!node.IsSequence()) return Wrong(node, path, "must be a list, with lines as \"- ...\"");
    const Reflection& reflection = *message.GetReflection();
    for (std::size_t i = 0; i < node.size(); ++i) {
      const std::string at = StrCat(path, "[", i, "]");
      places_.Note(at, PlaceOf(node[i].Mark()));
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        Message& part = *reflection.AddMessage(&message, &field);
        ReadMap(node[i], at, part);
        places_.NoteName(path, NameOf(part), at);
      } else if (!node[i].IsScalar()) {
        Wrong(node[i], at, "must be one value");
      } else {
        reflection.AddString(&message, &field, node[i].Scalar());
      }
    }
  }

  void ReadValue(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                 Message& message) {
    const Reflection& reflection = *message.GetReflection();
    const std::string& text = node.Scalar();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return reflection.SetString(&message, &field, text);
      case FieldDescriptor::CPPTYPE_BOOL:
        if (text == "true") return reflection.SetBool(&message, &field, true);
        if (text == "false") return reflection.SetBool(&message, &field, false);
        return Wrong(node, path, "must be true or false");
      case FieldDescriptor::CPPTYPE_INT64:
        if (const auto number = NumberOf<std::int64_t>(text)) {
          return reflection.SetInt64(&message, &field, *number);
        }
        return Wrong(node, path, "must be a whole number");
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (const auto number = NumberOf<double>(text)) {
          return reflection.SetDouble(&message, &field, *number);
        }
        return Wrong(node, path, "must be a number");
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadWord(node, path, field, message);
      default:
        return Wrong(node, path, "cannot be set from a file");
    }
  }

  void ReadWord(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                Message& message) {
    const EnumDescriptor& type = *field.enum_type();
    const std::string prefix = PrefixOf(type);
    const std::string word = Upper(node.Scalar());
    const EnumValueDescriptor* value = type.FindValueByName(StrCat(prefix, word));
    if (value == nullptr) value = type.FindValueByName(word);
    if (value != nullptr && value->number() != 0) {
      return message.GetReflection()->SetEnum(&message, &field, value);
    }
    std::string all;
    for (int i = 0; i < type.value_count(); ++i) {
      if (type.value(i)->number() == 0) continue;
      StrAppend(all, all.empty() ? "" : ", ", type.value(i)->name().substr(prefix.size()));
    }
    Wrong(node, path, StrCat("must be one of ", all));
  }

  /// What its first field says: a part of a list is known by that.
  static std::string NameOf(const Message& part) {
    const FieldDescriptor* const first = part.GetDescriptor()->FindFieldByNumber(1);
    const bool is_text = first != nullptr && first->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
                         !first->is_repeated();
    return is_text ? part.GetReflection()->GetString(part, first) : "";
  }

  const std::string_view name_;
  YamlPlaces& places_;
  std::vector<std::string> problems_;
};

}  // namespace

void YamlPlaces::NoteName(const std::string& list, const std::string& name,
                          const std::string& path) {
  names_[StrCat(list, "[", name, "]")] = path;
}

std::string YamlPlaces::Of(std::string path) const {
  // A name may hold a full stop: the longest known beginning is it, the last in order.
  for (auto name = names_.rbegin(); name != names_.rend(); ++name) {
    const auto& [named, numbered] = *name;
    if (path.starts_with(named) && (path.size() == named.size() || path[named.size()] == '.')) {
      path.replace(0, named.size(), numbered);
      break;
    }
  }
  for (;;) {
    if (const auto found = places_.find(path); found != places_.end()) return found->second;
    const std::size_t end = path.find_last_of(".[");
    if (end == std::string::npos) return "";
    path.resize(end);
  }
}

std::vector<std::string> ReadYaml(std::string_view text, std::string_view name, Message& message,
                                  YamlPlaces* places) {
  YamlPlaces unused;
  YamlReader reader(name, places == nullptr ? unused : *places);
  if (const auto bad = FirstBadByte(text)) {
    YAML::Mark mark;
    mark.line = static_cast<int>(std::count(text.begin(), text.begin() + *bad, '\n'));
    reader.Wrong(mark, "", text[*bad] == '\0' ? "has a NUL" : "is not UTF-8");
    return reader.Take();
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() != 1) {
      reader.Wrong(YAML::Mark(), "", "must be one YAML document");
    } else {
      reader.ReadMap(documents.front(), "", message);
    }
  } catch (const YAML::Exception& error) {
    reader.Wrong(error.mark, "", StrCat("is not YAML: ", error.msg));
  }
  return reader.Take();
}

}  // namespace postrider::cli
