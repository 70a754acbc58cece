#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "server/base/strings.h"

namespace postrider {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kConsole, kJson };

/// One named value of a log line. Names are the house's words (server/README.md): message_id,
/// tenant, request_id, attempt, slot ... Never a text, a secret, or a number in clear
/// (`MaskedNumber`).
struct LogField {
  LogField(std::string_view field_name, std::string_view text) : name(field_name), value(text) {}
  LogField(std::string_view field_name, const char* text) : name(field_name), value(text) {}
  LogField(std::string_view field_name, const std::string& text) : name(field_name), value(text) {}
  LogField(std::string_view field_name, bool flag)
      : name(field_name), value(flag ? "true" : "false"), quoted(false) {}
  template <typename N>
    requires(std::integral<N> || std::floating_point<N>)
  LogField(std::string_view field_name, N number)
      : name(field_name),
        value(StrCat(number)),
        quoted(!std::isfinite(static_cast<double>(number))) {}

  std::string_view name;
  std::string value;
  bool quoted = true;
};

/// Sets format and lowest level for the whole process; before workers start. The default is
/// console, info. Lines go to stderr.
void SetUpLog(LogFormat format, LogLevel lowest);

/// Writes one line. Safe from any thread. `event` is a constant sentence in lower case; what
/// varies goes into `fields`.
void WriteLog(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
bool LogEnabled(LogLevel level);
/// Writes out what is buffered.
void FlushLog();

/// The last two digits of a phone number, all else as '*': "+15551234567" is "+*********67".
std::string MaskedNumber(std::string_view number);

}  // namespace postrider

/// PR_LOG(kInfo, "message accepted", {"message_id", id}, {"tenant", name});
#define PR_LOG(level, event, ...)                                                  \
  (::postrider::LogEnabled(::postrider::LogLevel::level)                           \
       ? ::postrider::WriteLog(::postrider::LogLevel::level, event, {__VA_ARGS__}) \
       : void())
