#pragma once

#include <string>
#include <vector>

#include "server/app/option_table.h"

namespace postrider {

/// A value that some source gives to an option, not yet looked at.
struct GivenOption {
  const Option* option = nullptr;
  std::string text;
  std::string where;  ///< "--listen", "POSTRIDER_LISTEN", "gateway.yaml:7"
};

/// What one source gives, in its order, and what is wrong with it: one line a problem.
struct GivenOptions {
  std::vector<GivenOption> options;
  std::vector<std::string> problems;
};

/// The three sources of options, each read as it is: names are checked, values are not.
/// `others`: flags that are none of the options, but may be what an unknown one was meant to be.
GivenOptions ReadFlags(const std::vector<std::string>& flags,
                       const std::vector<std::string>& others = {});
/// Only names that begin with POSTRIDER_; those of the CLI (client/README.md) are skipped.
GivenOptions ReadEnvironment(const std::vector<std::string>& environment);
/// A YAML map of 1 MiB at most. Its values are scalars; lists may be sequences.
GivenOptions ReadConfigFile(const std::string& path);

}  // namespace postrider
