#include "client/cli/progress.h"

#include <cmath>
#include <ostream>
#include <utility>

#include "server/base/strings.h"

namespace postrider::cli {
namespace {

std::string DurationText(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::ceil(seconds));
  if (whole < 120) return StrCat(whole, " s");
  if (whole < 7200) return StrCat((whole + 59) / 60, " min");
  return StrCat((whole + 3599) / 3600, " h");
}

}  // namespace

std::string Grouped(std::uint64_t number) {
  const std::string digits = StrCat(number);
  std::string text;
  for (std::size_t at = 0; at < digits.size(); ++at) {
    if (at > 0 && (digits.size() - at) % 3 == 0) text += ',';
    text += digits[at];
  }
  return text;
}

std::string ProgressText(const std::string& what, std::uint64_t done,
                         std::optional<double> fraction, std::chrono::nanoseconds elapsed) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  std::string line = StrCat(Grouped(done), " ", what);
  if (seconds <= 0) return line;
  const auto rate = static_cast<std::uint64_t>(static_cast<double>(done) / seconds);
  StrAppend(line, ", ", Grouped(rate), "/s");
  if (fraction.has_value() && *fraction > 0 && *fraction <= 1) {
    StrAppend(line, ", ", static_cast<int>(*fraction * 100), " %, ",
              DurationText(seconds * (1 - *fraction) / *fraction), " left");
  }
  return line;
}

Progress::Progress(const Context& context, std::string what)
    : context_(context),
      what_(std::move(what)),
      start_(context.seams.clock.Now()),
      next_(start_ + std::chrono::milliseconds(200)) {}

void Progress::Update(std::uint64_t done, std::optional<double> fraction) {
  if (!context_.err_is_terminal) return;
  const MonotonicTime now = context_.seams.clock.Now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  context_.err << "\r\033[K" << ProgressText(what_, done, fraction, now - start_) << std::flush;
  shown_ = true;
}

void Progress::Clear() {
  if (std::exchange(shown_, false)) context_.err << "\r\033[K" << std::flush;
}

}  // namespace postrider::cli
