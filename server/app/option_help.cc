// The options as people read them: the help text, and a file with every default.
#include <algorithm>

#include "server/app/option_table.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

/// `text` in lines of `width` characters at most, each after `indent`.
std::string Wrapped(std::string_view text, std::string_view indent, std::size_t width) {
  std::string out;
  while (!text.empty()) {
    std::size_t end = text.size();
    if (end > width) {
      const std::size_t space = text.rfind(' ', width);
      end = space == text.npos ? width : space;
    }
    StrAppend(out, indent, text.substr(0, end), "\n");
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return out;
}

std::string Shown(std::string_view fallback) {
  return fallback.empty() ? "\"\"" : std::string(fallback);
}

}  // namespace

std::string OptionsHelp() {
  std::string out =
      "Options come from flags, else from variables (--state-dir is POSTRIDER_STATE_DIR), else\n"
      "from the YAML file (state-dir: ...), else they have these defaults.\n";
  std::string_view section;
  for (const Option& option : OptionTable()) {
    if (option.section != section) StrAppend(out, "\n", section = option.section, ":\n");
    StrAppend(out, "  --", option.name);
    if (!option.fallback.empty()) StrAppend(out, " (", option.fallback, ")");
    StrAppend(out, "\n", Wrapped(option.help, "      ", 90));
    if (option.kind != OptionKind::kText && option.kind != OptionKind::kFile) {
      StrAppend(out, "      Allowed: ", AllowedOf(option), ".\n");
    }
  }
  return out;
}

std::string DefaultConfigFile() {
  std::string out =
      "# The configuration of postriderd: every option with its default.\n"
      "# Use it by --config FILE. Flags and POSTRIDER_* variables go before what stands here.\n";
  std::string_view section;
  for (const Option& option : OptionTable()) {
    if (option.section != section) {
      section = option.section;
      StrAppend(out, "\n# --- ", section, "\n");
    }
    if (!option.in_file) continue;
    StrAppend(out, "\n", Wrapped(option.help, "# ", 96));
    if (option.kind != OptionKind::kText && option.kind != OptionKind::kFile) {
      StrAppend(out, "# Allowed: ", AllowedOf(option), ".\n");
    }
    StrAppend(out, option.name, ": ", Shown(option.fallback), "\n");
  }
  return out;
}

}  // namespace postrider
