#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <stop_token>
#include <string>
#include <utility>

#include "client/batch.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/follow_all.h"
#include "client/cli/input_file.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/request_file.h"
#include "server/base/strings.h"
#include "server/json/json.h"

namespace postrider::cli {
namespace {

using client::Error;

/// True for errors that every further line would meet too.
bool EndsTheFile(const Error& error) {
  switch (error.code) {
    case absl::StatusCode::kPermissionDenied:
      return error.reason != "SENDER_NOT_ALLOWED";
    case absl::StatusCode::kUnavailable:
      return error.reason != "CIRCUIT_OPEN";  // It is about this line's expire_at.
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kCancelled:
      return true;
    default:
      return false;
  }
}

JsonObject ErrorJson(const Error& error) {
  JsonArray violations;
  for (const client::Violation& v : error.violations) {
    violations.Add(JsonObject().Set("field", v.subject).Set("description", v.description));
  }
  return JsonObject()
      .Set("code", absl::StatusCodeToString(error.code))
      .Set("reason", error.reason)
      .Set("message", error.message)
      .Set("violations", violations);
}

/// One `send --file`.
class FileRun {
 public:
  FileRun(const Settings& settings, const Context& context, const SendFileJob& job,
          const client::Client& client, std::uint64_t file_bytes)
      : settings_(settings),
        context_(context),
        job_(job),
        client_(client),
        file_bytes_(file_bytes),
        progress_(context, job.defaults.validate_only() ? "checked" : "sent"),
        on_signal_(context.stop, Stop{stop_}) {}

  int Run(RequestFile& file) {
    SendAll(file);
    progress_.Clear();
    const bool follow = job_.watch && !fatal_.has_value() && !context_.stop.stop_requested() &&
                        !job_.defaults.validate_only();
    if (follow && sent_ + repeated_ > 0) {
      absl::StatusOr<StateCounts> states = FollowAll(context_, client_, ids_);
      if (states.ok()) {
        states_ = *std::move(states);
      } else {
        fatal_ = states.status();
      }
    }
    PrintSummary();
    return Conclude();
  }

 private:
  struct Stop {
    std::stop_source& source;
    void operator()() const { source.request_stop(); }
  };

  void SendAll(RequestFile& file) {
    client::Batch batch(client_, {.window = job_.window, .stop = stop_.get_token()},
                        [this](client::Batch::Answer answer) { Take(std::move(answer)); });
    while (!stop_.stop_requested()) {
      std::optional<FileRequest> next = file.Next();
      if (!next.has_value()) {
        complete_ = true;
        break;
      }
      bytes_read_ = file.bytes_read();
      if (next->request.ok()) {
        batch.Send(*std::move(next->request), next->line);
      } else {
        ++unparsable_;
        const Error error = client::DecodeError(next->request.status());
        ReportLine(next->line, error.message, error, "");
      }
    }
    batch.Finish();
  }

  void Take(client::Batch::Answer answer) {
    if (answer.response.ok()) {
      TakeAccepted(answer);
    } else {
      const Error error = client::DecodeError(answer.response.status());
      if (EndsTheFile(error)) {
        ++unanswered_;
        if (!fatal_.has_value() && !stop_.stop_requested()) fatal_ = answer.response.status();
        stop_.request_stop();
      } else {
        ++refused_[error.reason.empty() ? absl::StatusCodeToString(error.code) : error.reason];
        ReportLine(answer.tag, client::DescribeError(error), error, answer.request_id);
      }
    }
    std::optional<double> fraction;
    if (file_bytes_ > 0) {
      fraction = static_cast<double>(bytes_read_) / static_cast<double>(file_bytes_);
    }
    progress_.Update(sent_ + repeated_, fraction);
  }

  void TakeAccepted(const client::Batch::Answer& answer) {
    const v1::SendMessageResponse& response = *answer.response;
    ++(response.deduplicated() ? repeated_ : sent_);
    const std::string& message_id = response.message().message_id();
    if (job_.watch && !message_id.empty() && !ids_.Add(message_id) && !fatal_.has_value()) {
      fatal_ = absl::InternalError("cannot write a temporary file, which --watch needs");
      stop_.request_stop();
    }
    if (settings_.output != Output::kJsonl) return;
    context_.out << JsonObject()
                        .Set("line", static_cast<std::int64_t>(answer.tag))
                        .Set("request_id", answer.request_id)
                        .Set("message_id", message_id)
                        .Set("deduplicated", response.deduplicated())
                        .Dump()
                 << "\n";
  }

  void ReportLine(std::uint64_t line, const std::string& what, const Error& error,
                  const std::string& request_id) {
    progress_.Clear();
    context_.err << job_.path << ":" << line << ": " << client::Printable(what) << "\n";
    if (settings_.output != Output::kJsonl) return;
    context_.out << JsonObject()
                        .Set("line", static_cast<std::int64_t>(line))
                        .Set("request_id", request_id)
                        .Set("error", ErrorJson(error))
                        .Dump()
                 << "\n";
  }

  void PrintSummary() const {
    std::map<std::string, std::uint64_t> states(states_.begin(), states_.end());
    if (settings_.output != Output::kTable) {
      JsonObject refused;
      for (const auto& [reason, count] : refused_) {
        refused.Set(reason, static_cast<std::int64_t>(count));
      }
      JsonObject by_state;
      for (const auto& [state, count] : states) {
        by_state.Set(state, static_cast<std::int64_t>(count));
      }
      JsonObject summary;
      summary.Set("sent", static_cast<std::int64_t>(sent_))
          .Set("repeated", static_cast<std::int64_t>(repeated_))
          .Set("refused", refused)
          .Set("unparsable", static_cast<std::int64_t>(unparsable_))
          .Set("unanswered", static_cast<std::int64_t>(unanswered_))
          .Set("complete", complete_ && unanswered_ == 0);
      if (job_.watch) summary.Set("states", by_state);
      context_.out << JsonObject().Set("summary", summary).Dump() << "\n";
      return;
    }
    Table table({"LINES", "COUNT", ""});
    table.Add({job_.defaults.validate_only() ? "valid" : "sent", Grouped(sent_), ""});
    table.Add({"repeated", Grouped(repeated_), repeated_ > 0 ? "had been sent before" : ""});
    for (const auto& [reason, count] : refused_) table.Add({"refused", Grouped(count), reason});
    if (unparsable_ > 0) table.Add({"unparsable", Grouped(unparsable_), ""});
    if (unanswered_ > 0) table.Add({"unanswered", Grouped(unanswered_), ""});
    for (const auto& [state, count] : states) table.Add({"now", Grouped(count), state});
    table.Print(context_.out, UseColour(context_));
  }

  int Conclude() const {
    if (fatal_.has_value()) {
      const int code = Fail(settings_, context_, *fatal_);
      if (!complete_ || unanswered_ > 0) TellHowToGoOn();
      return code;
    }
    if (!complete_ || unanswered_ > 0) {
      TellHowToGoOn();
      return kExitSomeFailed;
    }
    bool all_arrived = true;
    for (const auto& [state, count] : states_) all_arrived = all_arrived && state == "DELIVERED";
    return refused_.empty() && unparsable_ == 0 && all_arrived ? kExitOk : kExitSomeFailed;
  }

  void TellHowToGoOn() const {
    context_.err << "postrider: stopped before the end of " << job_.path
                 << "; run the same command again to send the rest, nothing is sent twice\n";
  }

  const Settings& settings_;
  const Context& context_;
  const SendFileJob& job_;
  const client::Client& client_;
  const std::uint64_t file_bytes_;  ///< 0 when unknown.

  Progress progress_;
  std::stop_source stop_;
  const std::stop_callback<Stop> on_signal_;
  IdSpool ids_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t repeated_ = 0;
  std::uint64_t unparsable_ = 0;
  std::uint64_t unanswered_ = 0;
  std::map<std::string, std::uint64_t> refused_;  ///< By reason.
  StateCounts states_;
  bool complete_ = false;  ///< The file was read to its end.
  std::optional<absl::Status> fatal_;
};

std::optional<FileFormat> FormatOf(const SendFileJob& job) {
  if (job.format == "csv" || (job.format.empty() && job.path.ends_with(".csv"))) {
    return FileFormat::kCsv;
  }
  if (job.format == "jsonl" ||
      (job.format.empty() && (job.path.ends_with(".jsonl") || job.path.ends_with(".ndjson")))) {
    return FileFormat::kJsonl;
  }
  return std::nullopt;
}

}  // namespace

int SendFile(const Settings& settings, const Context& context, const SendFileJob& job) {
  const std::optional<FileFormat> format = FormatOf(job);
  if (!format.has_value()) {
    return FailUsage(context, StrCat("send: is ", job.path, " CSV or JSONL? Say --format"));
  }
  auto input = InputFile::Open(job.path, context.in);
  if (!input.ok()) return FailUsage(context, StrCat("send: ", ToStd(input.status().message())));
  auto file = RequestFile::Open(input->stream(), *format, job.defaults, job.run);
  if (!file.ok()) {
    return FailUsage(context, StrCat(job.path, ": ", ToStd(file.status().message())));
  }
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  return FileRun(settings, context, job, **client, input->bytes()).Run(**file);
}

}  // namespace postrider::cli
