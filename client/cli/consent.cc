#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/consent_file.h"
#include "client/cli/exit_code.h"
#include "client/cli/input_file.h"
#include "client/cli/output.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

constexpr std::size_t kConsentsAtOnce = 1000;

struct ConsentFlags {
  std::string tenant = "default";
  std::string sender;
  std::string evidence;
  std::string reason;
  std::string request_id;
  std::vector<std::string> recipients;
  std::string file;
  int limit = 100;
};

/// "recorded 2, opted out 1, opted in 0".
int PrintCounts(const Settings& settings, const Context& context,
                const v1::RecordConsentResponse& counts) {
  if (settings.output != Output::kTable) {
    context.out << JsonOf(counts, settings.output);
  } else {
    context.out << "recorded " << counts.recorded_count() << ", opted out "
                << counts.opted_out_count() << ", opted in " << counts.opted_in_count() << "\n";
    if (counts.still_opted_out_count() > 0) {
      context.out << counts.still_opted_out_count()
                  << " of those who opted in are opted out still, of one sender or of all: see "
                     "`postrider consent show`\n";
    }
  }
  return kExitOk;
}

int Record(const Settings& settings, const Context& context, const ConsentFlags& flags,
           v1::ConsentChange change) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::RecordConsentRequest request;
  request.set_tenant(flags.tenant);
  request.set_request_id(flags.request_id.empty() ? client::NewRequestId(context.seams.random)
                                                  : flags.request_id);
  request.set_reason(flags.reason);
  for (const std::string& recipient : flags.recipients) {
    v1::Consent& consent = *request.add_consents();
    consent.set_recipient(recipient);
    consent.set_sender(flags.sender);
    consent.set_change(change);
    consent.set_evidence(flags.evidence);
  }
  const auto counts = (*admin)->RecordConsent(request);
  if (!counts.ok()) return Fail(settings, context, counts.status());
  return PrintCounts(settings, context, *counts);
}

int OptOut(const Settings& settings, const Context& context, const ConsentFlags& flags) {
  return Record(settings, context, flags, v1::CONSENT_CHANGE_OPT_OUT);
}

int OptIn(const Settings& settings, const Context& context, const ConsentFlags& flags) {
  return Record(settings, context, flags, v1::CONSENT_CHANGE_OPT_IN);
}

/// What is wrong with which lines of the file, "line 3: sender: why"; empty when none is named.
std::vector<std::string> LinesOf(const client::Error& error,
                                 const std::vector<std::uint64_t>& lines) {
  constexpr std::string_view kRow = "consents[";
  std::vector<std::string> problems;
  for (const client::Violation& violation : error.violations) {
    std::size_t row = 0;
    const std::string_view subject = violation.subject;
    if (!subject.starts_with(kRow)) continue;
    const std::string_view number = subject.substr(kRow.size());
    const auto [end, bad] = std::from_chars(number.begin(), number.end(), row);
    if (bad != std::errc() || row >= lines.size()) continue;
    std::string_view field(end, number.end());  // "].sender"
    field.remove_prefix(std::min<std::size_t>(2, field.size()));
    problems.push_back(StrCat("line ", lines[row], ": ", field, ": ", violation.description));
  }
  return problems;
}

/// A batch, of these lines of the file, was not recorded, or may have been; the `done` rows before
/// it are.
int FailImport(const Settings& settings, const Context& context, const absl::Status& status,
               const std::vector<std::uint64_t>& lines, std::size_t done) {
  const std::vector<std::string> problems = LinesOf(client::DecodeError(status), lines);
  if (problems.empty()) {
    Fail(settings, context, status);
  } else {
    PrintProblems(context, "consent import: some lines are refused", problems);
  }
  const int code = ExitCodeOf(status.code());
  const bool refused = code == kExitRefused || code == kExitNotFound || code == kExitNotAllowed;
  context.err << "  " << (refused ? "nothing of" : "perhaps not all of") << " lines "
              << lines.front() << " to " << lines.back() << " is recorded; the " << done
              << " rows before them are. Import the file again: nothing is recorded twice\n";
  return code;
}

int Import(const Settings& settings, const Context& context, const ConsentFlags& flags) {
  auto input = InputFile::Open(flags.file, context.in);
  if (!input.ok()) {
    return FailUsage(context, StrCat("consent import: ", ToStd(input.status().message())));
  }
  ConsentFile file(input->stream());
  if (const absl::Status header = file.ReadHeader(); !header.ok()) {
    return FailUsage(context, StrCat("consent import: ", ToStd(header.message())));
  }
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::RecordConsentResponse total;
  v1::RecordConsentRequest request;
  request.set_tenant(flags.tenant);
  request.set_reason(flags.reason);
  for (std::size_t done = 0; !context.stop.stop_requested();) {
    const absl::StatusOr<std::vector<v1::Consent>> consents = file.Next(kConsentsAtOnce);
    if (!consents.ok()) {
      return FailUsage(context, StrCat("consent import: ", ToStd(consents.status().message()),
                                       "; the ", done, " before it are recorded"));
    }
    if (consents->empty()) return PrintCounts(settings, context, total);
    request.set_request_id(ImportIdOf(*consents));
    request.clear_consents();
    for (const v1::Consent& consent : *consents) *request.add_consents() = consent;
    const auto counts = (*admin)->RecordConsent(request);
    if (!counts.ok()) return FailImport(settings, context, counts.status(), file.lines(), done);
    done += consents->size();
    total.set_recorded_count(total.recorded_count() + counts->recorded_count());
    total.set_opted_out_count(total.opted_out_count() + counts->opted_out_count());
    total.set_opted_in_count(total.opted_in_count() + counts->opted_in_count());
    total.set_still_opted_out_count(total.still_opted_out_count() +
                                    counts->still_opted_out_count());
    context.err << "read " << done << "\n" << std::flush;
  }
  return kExitSomeFailed;
}

int ListConsent(const Settings& settings, const Context& context, const ConsentFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::ListSuppressionsRequest request;
  request.set_tenant(flags.tenant);
  request.set_sender(flags.sender);
  if (!flags.recipients.empty()) request.set_recipient(flags.recipients.front());
  Table table({"SINCE", "RECIPIENT", "SENDER"});
  int left = flags.limit;
  do {
    request.set_page_size(std::min(left, 500));
    const auto page = (*admin)->ListSuppressions(request);
    if (!page.ok()) return Fail(settings, context, page.status());
    for (const v1::ListedSuppression& one : page->suppressions()) {
      if (settings.output != Output::kTable) {
        context.out << JsonOf(one, settings.output);
      } else {
        table.Add(
            {TimeText(one.since()), one.recipient(), one.sender().empty() ? "all" : one.sender()});
      }
    }
    left -= page->suppressions_size();
    request.set_page_token(page->next_page_token());
  } while (left > 0 && !request.page_token().empty() && !context.stop.stop_requested());
  if (settings.output != Output::kTable) return kExitOk;
  if (table.empty()) {
    context.out << "no opt-outs in force\n";
  } else {
    table.Print(context.out, UseColour(context));
  }
  if (!request.page_token().empty()) context.out << "... and more: see --limit\n";
  return kExitOk;
}

int ShowConsent(const Settings& settings, const Context& context, const ConsentFlags& flags) {
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::GetConsentRequest request;
  request.set_tenant(flags.tenant);
  request.set_recipient(flags.recipients.front());
  const auto found = (*admin)->GetConsent(request);
  if (!found.ok()) return Fail(settings, context, found.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*found, settings.output);
    return kExitOk;
  }
  for (const v1::Suppression& suppression : found->suppressions()) {
    context.out << "opted out of "
                << (suppression.sender().empty() ? "all senders"
                                                 : client::Printable(suppression.sender()))
                << " since " << TimeText(suppression.since()) << "\n";
  }
  if (found->suppressions().empty()) context.out << "no opt-out is in force\n";
  Table table({"SAID", "CHANGE", "SENDER", "SOURCE", "BY", "EVIDENCE"});
  for (const v1::ConsentEvent& event : found->history()) {
    table.Add(
        {TimeText(event.said_at()),
         WithoutPrefix(v1::ConsentChange_Name(event.change()), "CONSENT_CHANGE_", event.change()),
         event.sender().empty() ? "all" : event.sender(),
         WithoutPrefix(v1::ConsentSource_Name(event.source()), "CONSENT_SOURCE_", event.source()),
         event.actor(), event.evidence()});
  }
  if (!table.empty()) table.Print(context.out, UseColour(context));
  return kExitOk;
}

void AddTenantAndReason(CLI::App& command, ConsentFlags& flags) {
  command.add_option("--tenant", flags.tenant, "The tenant's name")->capture_default_str();
  command.add_option("--reason", flags.reason, "Why; goes on record")->required();
}

void AddRecord(CLI::App& command, ConsentFlags& flags) {
  AddTenantAndReason(command, flags);
  command.add_option("RECIPIENT", flags.recipients, "Their numbers: E.164")
      ->required()
      ->expected(1, static_cast<int>(kConsentsAtOnce))
      ->option_text("...");
  command.add_option("--sender", flags.sender, "Of this sender only, not of all the tenant's");
  command.add_option("--evidence", flags.evidence, "Their words, or where they are kept");
  command.add_option("--request-id", flags.request_id,
                     "Your key: repeated with it, nothing is recorded twice");
}

}  // namespace

void AddConsent(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* consent =
      app.add_subcommand("consent", "Opt-outs and opt-ins: records and shows them; for operators");
  consent->require_subcommand(1);
  consent->fallthrough();

  CLI::App* out = consent->add_subcommand(
      "opt-out", "Recipients who are to get nothing more; what is queued for them ends");
  auto outs = std::make_shared<ConsentFlags>();
  AddRecord(*out, *outs);
  out->callback(AsOperator(invocation, context, outs, OptOut));

  CLI::App* in = consent->add_subcommand("opt-in", "Recipients who want messages again");
  auto ins = std::make_shared<ConsentFlags>();
  AddRecord(*in, *ins);
  in->callback(AsOperator(invocation, context, ins, OptIn));

  CLI::App* import = consent->add_subcommand(
      "import",
      "Both, from a CSV file; its first line names the columns: recipient, and as you like change\n"
      "(opt-out or opt-in; empty: opt-out), sender, said_at, evidence. What was said last counts.\n"
      "The same file again records nothing twice.");
  auto imported = std::make_shared<ConsentFlags>();
  AddTenantAndReason(*import, *imported);
  import->add_option("FILE", imported->file, "The file; - is stdin")->required();
  import->callback(AsOperator(invocation, context, imported, Import));

  CLI::App* show = consent->add_subcommand("show", "What is in force for a number, and why");
  auto shown = std::make_shared<ConsentFlags>();
  show->add_option("--tenant", shown->tenant, "The tenant's name")->capture_default_str();
  show->add_option("RECIPIENT", shown->recipients, "The number: E.164")->required()->expected(1);
  show->callback(AsOperator(invocation, context, shown, ShowConsent));

  CLI::App* list = consent->add_subcommand(
      "list",
      "The opt-outs in force that match all that is given, the latest first; numbers masked");
  auto listed = std::make_shared<ConsentFlags>();
  list->add_option("--tenant", listed->tenant, "The tenant's name")->capture_default_str();
  list->add_option("--from", listed->sender,
                   "Only those of this sender alone, not of all of the tenant's");
  list->add_option("--to", listed->recipients, "Only this number's: E.164")->expected(1);
  list->add_option("--limit", listed->limit, "How many at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  list->callback(AsOperator(invocation, context, listed, ListConsent));
}

}  // namespace postrider::cli
