#include <CLI/CLI.hpp>
#include <istream>
#include <memory>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/input_file.h"
#include "client/cli/output.h"
#include "client/cli/yaml_message.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

/// Of the file, with its comments and blanks; and of the request that it makes, as the gateway
/// takes it (kMaxGrpcRequestBytes in server/model/limits.h).
constexpr std::size_t kMaxSetupBytes = 1024 * 1024;
constexpr std::size_t kMaxRequestBytes = 256 * 1024;

struct ApplyFlags {
  std::string tenant = "default";
  std::string file;
  std::string reason;
  bool dry_run = false;
};

absl::StatusOr<std::string> ReadSetupFile(const std::string& path, std::istream& in) {
  PR_ASSIGN_OR_RETURN(InputFile input, InputFile::Open(path, in));
  std::string text(kMaxSetupBytes + 1, '\0');
  input.stream().read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(input.stream().gcount()));
  if (text.size() > kMaxSetupBytes) {
    return absl::OutOfRangeError(StrCat(path, " has more than ", kMaxSetupBytes, " bytes"));
  }
  return text;
}

/// "+ path: after", "- path: before", "~ path: before -> after".
void PrintChange(const v1::SetupChange& change, std::ostream& out) {
  const std::string path = client::Printable(change.path());
  const std::string before = client::Printable(change.before());
  const std::string after = client::Printable(change.after());
  if (change.before().empty()) {
    out << "+ " << path << ": " << after << "\n";
  } else if (change.after().empty()) {
    out << "- " << path << ": " << before << "\n";
  } else {
    out << "~ " << path << ": " << before << " -> " << after << "\n";
  }
}

constexpr const char* kNothing = "apply: nothing was applied";

/// What the gateway refuses, with where in the file it stands when it is of the file.
std::vector<std::string> ProblemsOf(const client::Error& error, const YamlPlaces& places) {
  constexpr std::string_view kSetup = "setup.";
  std::vector<std::string> problems;
  for (const client::Violation& violation : error.violations) {
    if (!violation.subject.starts_with(kSetup)) {
      problems.push_back(StrCat(violation.subject, ": ", violation.description));
      continue;
    }
    const std::string path = violation.subject.substr(kSetup.size());
    const std::string place = places.Of(path);
    problems.push_back(StrCat(place, place.empty() ? "" : ": ", path, ": ", violation.description));
  }
  return problems;
}

int Apply(const Settings& settings, const Context& context, const ApplyFlags& flags) {
  if (!flags.dry_run && flags.reason.empty()) {
    return FailUsage(context, "apply: --reason is required without --dry-run");
  }
  const absl::StatusOr<std::string> text = ReadSetupFile(flags.file, context.in);
  if (!text.ok()) return FailUsage(context, StrCat("apply: ", ToStd(text.status().message())));
  v1::ApplySetupRequest request;
  YamlPlaces places;
  const std::vector<std::string> problems =
      ReadYaml(*text, flags.file == "-" ? "stdin" : flags.file, *request.mutable_setup(), &places);
  if (!problems.empty()) {
    PrintProblems(context, kNothing, problems);
    return kExitUsage;
  }
  request.set_tenant(flags.tenant);
  request.set_dry_run(flags.dry_run);
  request.set_reason(flags.reason);
  if (const std::size_t size = request.ByteSizeLong(); size > kMaxRequestBytes) {
    return FailUsage(
        context, StrCat(kNothing, ": this is ", size, " bytes as a request, and the gateway takes ",
                        kMaxRequestBytes,
                        "; apply one section at a time, what is left out stays as it "
                        "is"));
  }
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  const auto applied = (*admin)->ApplySetup(request);
  if (!applied.ok()) {
    const std::vector<std::string> refused =
        ProblemsOf(client::DecodeError(applied.status()), places);
    if (refused.empty()) return Fail(settings, context, applied.status());
    PrintProblems(context, kNothing, refused);
    return ExitCodeOf(applied.status().code());
  }
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*applied, settings.output);
    return kExitOk;
  }
  for (const v1::SetupChange& change : applied->changes()) PrintChange(change, context.out);
  context.out << applied->changes_size() << (applied->changes_size() == 1 ? " change" : " changes")
              << (flags.dry_run ? ", not applied (--dry-run)\n" : " applied\n");
  return kExitOk;
}

}  // namespace

void AddApply(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* apply = app.add_subcommand(
      "apply",
      "Sets what a tenant may send, by a YAML file: campaign_required, senders, campaigns,\n"
      "templates, destinations, opt_out_confirmation, plain_punctuation, compliance_check (fields\n"
      "as in setup.proto). A section that is not in the file stays as it is. For operators");
  auto flags = std::make_shared<ApplyFlags>();
  apply->add_option("-f,--file", flags->file, "The file; - is stdin")->required();
  apply->add_option("--tenant", flags->tenant, "The tenant's name")->capture_default_str();
  apply->add_option("--reason", flags->reason, "Why; goes on record");
  apply->add_flag("--dry-run", flags->dry_run, "Only show what would change");
  apply->callback(AsOperator(invocation, context, flags, Apply));
}

}  // namespace postrider::cli
