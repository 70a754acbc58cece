#include "server/app/command_line.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "server/app/bootstrap.h"
#include "server/base/strings.h"

namespace postrider {

namespace {

/// "--name", "--scopes" ...: what the command and its chosen subcommand know themselves.
std::vector<std::string> OwnFlags(const CLI::App& app) {
  std::vector<const CLI::App*> parts = {&app};
  for (const CLI::App* chosen : app.get_subcommands()) parts.push_back(chosen);
  std::vector<std::string> flags;
  for (const CLI::App* part : parts) {
    for (const CLI::Option* option : part->get_options()) {
      for (const std::string& name : option->get_lnames()) flags.push_back(StrCat("--", name));
    }
  }
  return flags;
}

ConfigSources SourcesIn(const CLI::App& app) {
  ConfigSources sources = SourcesOf(app.remaining(true));
  sources.command_flags = OwnFlags(app);
  return sources;
}

}  // namespace

int PrintStatus(const absl::Status& status, int exit_status) {
  if (status.ok()) return kExitOk;
  std::fprintf(stderr, "postriderd: %s\n", std::string(status.message()).c_str());
  return exit_status;
}

void PrintLine(const std::string& line) { std::printf("%s\n", line.c_str()); }

void TakeOptions(CLI::App& app, std::string_view otherwise) {
  app.allow_extras();
  app.footer(StrCat("The database is that of --database-url, else ", otherwise,
                    ".\nBoth may stand in flags, in POSTRIDER_* variables or in the file of "
                    "--config, as for\n`postriderd serve`."));
}

void TakeReason(CLI::App& command, std::string& reason, const std::string& help) {
  command.add_option("--reason", reason, help)->required()->check([](const std::string& text) {
    return text.empty() ? std::string("must say why") : std::string();
  });
}

std::optional<int> ParseCommand(CLI::App& app, std::vector<std::string> arguments, Config* config) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;
    // A flag that is missing may well be there, misspelt: that is told below.
    const bool may_be_misspelt = !asked && config != nullptr && !app.get_subcommands().empty();
    if (!may_be_misspelt || LoadConfig(SourcesIn(app)).ok()) {
      return app.exit(error) == 0 ? kExitOk : kExitUsage;
    }
  }
  if (config == nullptr) return std::nullopt;
  absl::StatusOr<Config> loaded = LoadConfig(SourcesIn(app));
  if (!loaded.ok()) return PrintStatus(loaded.status(), kExitConfig);
  *config = *std::move(loaded);
  return std::nullopt;
}

absl::StatusOr<std::string> DatabaseUrl(const Config& config) {
  if (!config.database_url.empty()) return std::string(config.database_url.Reveal());
  const std::string path = StrCat(config.state_dir, "/addresses");
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("database=")) return line.substr(9);
  }
  return absl::FailedPreconditionError(StrCat("no gateway runs in ", config.state_dir, " (", path,
                                              " is missing): start it, or give --database-url"));
}

}  // namespace postrider
