#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>

namespace postrider::cli {

/// Reads `text`, one YAML map, into `message`: keys are names of its fields, as in the .proto.
/// Enums are words in any case, with or without their prefix; times are RFC 3339; a message that
/// is but a list may be written as the list. A key with nothing after it is an empty list, and
/// nothing for any other field.
///
/// Returns everything that is wrong, each as "FILE:LINE:COLUMN: key: why", with the key as a path;
/// empty when nothing is. `name`: the file's, for these.
std::vector<std::string> ReadYaml(std::string_view text, std::string_view name,
                                  google::protobuf::Message& message);

}  // namespace postrider::cli
