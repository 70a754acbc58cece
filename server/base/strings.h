#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace postrider {

/// Debian 12's absl::string_view is a type of its own; these adapt at the few places that need
/// it. With a newer Abseil, where both are one type, they cost nothing.
inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

namespace internal {
template <typename T>
decltype(auto) Adapt(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}
}  // namespace internal

/// absl::StrCat that takes std::string_view too.
template <typename... Args>
std::string StrCat(const Args&... args) {
  return absl::StrCat(internal::Adapt(args)...);
}

template <typename... Args>
void StrAppend(std::string& to, const Args&... args) {
  absl::StrAppend(&to, internal::Adapt(args)...);
}

/// `text` up to its first line feed: what follows in a message of a library may quote the data.
inline std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

/// No line end and no NUL: may be a header's value.
inline bool IsOneLine(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace postrider
