#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "server/app/config.h"

namespace postrider {

/// What an option's text may be.
enum class OptionKind {
  kText,
  kFile,
  kUrl,      ///< https://..., or http:// to this machine.
  kPath,     ///< "/api/...", or empty.
  kAddress,  ///< HOST:PORT
  kSenders,  ///< A list of what SenderOf reads (app/tenant_account.h), with commas.
  kBool,
  kInteger,
  kNumber,
  kChoice,
};

/// A text after it was found well-formed: what its kind fills in.
struct OptionValue {
  std::string text = {};
  std::vector<std::string> list = {};
  ListenAddress address = {};
  bool flag = false;
  int integer = 0;
  double number = 0;
};

/// What a number may be, both ends included.
struct OptionRange {
  double lowest = 0;
  double highest = 0;
  std::string_view unit = {};
};

/// One row of the table: all that is known of an option. The flag is "--" and the name, the
/// variable POSTRIDER_ and the name in capitals, the key in the file the name itself.
struct Option {
  std::string_view section;
  std::string_view name;
  OptionKind kind;
  std::string_view fallback;  ///< The default, as it would be written.
  std::string_view help;
  void (*set)(Config& config, const OptionValue& value);
  OptionRange range = {};         ///< Of kInteger and kNumber.
  std::string_view choices = {};  ///< Of kChoice, with bars: "console|json".
  bool secret = false;            ///< Its value is not shown.
  bool in_file = true;            ///< May stand in the file.
};

/// All options, by section, in the order in which they are shown.
std::span<const Option> OptionTable();
/// Its last sections: quiet hours, what is kept, the sandbox, and how the process runs
/// (option_table_running.cc).
std::span<const Option> RunningOptions();

/// "POSTRIDER_STATE_DIR" of "state-dir".
std::string VariableOf(const Option& option);
/// "a number from 0.01 to 100000 requests a second"
std::string AllowedOf(const Option& option);

/// `text` as a value of `option`. INVALID_ARGUMENT when it is not allowed; the message is a part
/// of a sentence, such as "must be true or false".
absl::StatusOr<OptionValue> ParseOption(const Option& option, std::string_view text);

/// What `postriderd serve --help` prints of the options.
std::string OptionsHelp();
/// A file with every option at its default, each explained: `postriderd config print-default`.
/// LoadConfig of it gives the defaults.
std::string DefaultConfigFile();

}  // namespace postrider
