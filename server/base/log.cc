#include "server/base/log.h"

#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/spdlog.h>

#include "server/base/utf8.h"

namespace postrider {

namespace {

constexpr const char* kConsolePattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %v";
constexpr const char* kJsonPattern = R"({"at":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

LogFormat g_format = LogFormat::kConsole;  // set once, before workers start

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

void AppendCharacter(std::string& line, std::string_view character) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const char c = character[0];
  const auto byte = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') line += '\\';
  if (byte < 0x20 || byte == 0x7f) {
    line += "\\u00";
    line += kHex[byte >> 4];
    line += kHex[byte & 15];
  } else {
    line += character;
  }
}

/// As a JSON string. Bytes that are not UTF-8 become U+FFFD each: a collector that meets one
/// would refuse the line.
void AppendQuoted(std::string& line, std::string_view text) {
  line += '"';
  while (!text.empty()) {
    std::string_view rest = text;
    if (TakeCharacter(rest)) {
      AppendCharacter(line, text.substr(0, text.size() - rest.size()));
    } else {
      line += "\xef\xbf\xbd";
      rest.remove_prefix(1);
    }
    text = rest;
  }
  line += '"';
}

bool IsPlain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
  }
  return true;
}

spdlog::logger& Logger() {
  static const auto logger = [] {
    auto made = std::make_shared<spdlog::logger>(
        "postrider", std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>());
    made->set_pattern(kConsolePattern, spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *logger;
}

}  // namespace

void SetUpLog(LogFormat format, LogLevel lowest) {
  g_format = format;
  Logger().set_level(LevelOf(lowest));
  Logger().set_pattern(format == LogFormat::kJson ? kJsonPattern : kConsolePattern,
                       spdlog::pattern_time_type::utc);
}

bool LogEnabled(LogLevel level) { return Logger().should_log(LevelOf(level)); }

void WriteLog(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line;
  const bool json = g_format == LogFormat::kJson;
  if (json) {
    line += R"("event":)";
    AppendQuoted(line, event);
  } else {
    line += event;
  }
  for (const LogField& field : fields) {
    line += json ? "," : "  ";
    if (json) {
      AppendQuoted(line, field.name);
      line += ':';
    } else {
      line += field.name;
      line += '=';
    }
    const bool quote = json ? field.quoted : !IsPlain(field.value);
    if (quote) {
      AppendQuoted(line, field.value);
    } else {
      line += field.value;
    }
  }
  Logger().log(LevelOf(level), spdlog::string_view_t(line.data(), line.size()));
}

void FlushLog() { Logger().flush(); }

std::string MaskedNumber(std::string_view number) {
  std::string masked(number);
  for (std::size_t i = 0; i + 2 < masked.size(); ++i) {
    if (masked[i] != '+') masked[i] = '*';
  }
  return masked;
}

}  // namespace postrider
