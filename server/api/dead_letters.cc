#include "server/api/dead_letters.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

#include "server/api/convert.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/base/utf8.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr std::size_t kLeastMasked = 7;
constexpr std::size_t kShownDigits = 2;
constexpr std::size_t kMostReasonBytes = 64;
constexpr std::string_view kSources[] = {kSendSource, "guide", "platform"};

}  // namespace

DeadLetterFilter FilterOf(const v1::DeadLetterFilter& asked, TenantNeed need, FieldRules& rules) {
  DeadLetterFilter filter;
  if (asked.tenant().empty() && need == TenantNeed::kRequired) {
    rules.Violate("filter.tenant", "is required");
  }
  rules.Key("filter.reason", asked.reason(), kMostReasonBytes, false);
  if (!asked.source().empty() &&
      std::find(std::begin(kSources), std::end(kSources), asked.source()) == std::end(kSources)) {
    rules.Violate("filter.source", "must be send, guide or platform");
  }
  filter.reason = asked.reason();
  filter.source = asked.source();
  if (asked.has_since()) {
    filter.since = rules.Time("filter.since", asked.since()).value_or(WallTime{});
  }
  if (asked.has_until()) {
    filter.until = rules.Time("filter.until", asked.until()).value_or(WallTime{});
    if (filter.until <= filter.since) rules.Violate("filter.until", "must be after `since`");
  }
  return filter;
}

template <typename Request>
DeadLetterChoice ChoiceOf(const Request& asked, FieldRules& rules) {
  DeadLetterChoice choice{FilterOf(asked.filter(), TenantNeed::kRequired, rules), {}};
  const v1::DeadLetterFilter& filter = asked.filter();
  const bool narrowed = !filter.reason().empty() || !filter.source().empty() ||
                        filter.has_since() || filter.has_until();
  if (asked.dead_letter_ids_size() > 0 && narrowed) {
    rules.Violate("filter", "must name the tenant only when there are dead_letter_ids");
  }
  if (asked.dead_letter_ids_size() > static_cast<int>(kDeadLettersChanged)) {
    rules.Violate("dead_letter_ids", StrCat("must be ", kDeadLettersChanged, " at most"));
    return choice;
  }
  for (int i = 0; i < asked.dead_letter_ids_size(); ++i) {
    const absl::StatusOr<DeadLetterId> id = DeadLetterId::Parse(asked.dead_letter_ids(i));
    if (id.ok()) {
      choice.ids.push_back(*id);
    } else {
      rules.Violate(StrCat("dead_letter_ids[", i, "]"), "must be a UUID");
    }
  }
  return choice;
}
template DeadLetterChoice ChoiceOf(const v1::ReplayDeadLettersRequest&, FieldRules&);
template DeadLetterChoice ChoiceOf(const v1::DiscardDeadLettersRequest&, FieldRules&);

std::string PageTokenOf(const DeadLetter& last) {
  const auto us =
      std::chrono::duration_cast<std::chrono::microseconds>(last.at.time_since_epoch()).count();
  return StrCat(us, ".", last.dead_letter_id.ToString());
}

std::optional<DeadLetterPlace> ParsePageToken(std::string_view token) {
  const std::size_t dot = token.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  std::int64_t us = 0;
  const absl::StatusOr<DeadLetterId> id = DeadLetterId::Parse(token.substr(dot + 1));
  if (!absl::SimpleAtoi(ToAbsl(token.substr(0, dot)), &us) || us <= 0 || !id.ok()) {
    return std::nullopt;
  }
  // The year 2100: well within what a clock can show.
  constexpr std::int64_t kLastUs = 4'102'444'800'000'000;
  if (us > kLastUs) return std::nullopt;
  return DeadLetterPlace{WallTime{} + std::chrono::microseconds(us), *id};
}

std::string ShownBody(std::string_view body) {
  std::string shown(body);
  if (!CharactersOf(body)) {
    for (char& c : shown) {
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
  }
  return shown;
}

std::string MaskedBody(std::string_view body) {
  std::string shown = ShownBody(body);
  std::size_t begin = 0;
  while (begin < shown.size()) {
    std::size_t end = begin;
    while (end < shown.size() && absl::ascii_isdigit(static_cast<unsigned char>(shown[end]))) ++end;
    if (end - begin >= kLeastMasked) {
      for (std::size_t i = begin; i + kShownDigits < end; ++i) shown[i] = '*';
    }
    begin = end + 1;
  }
  return shown;
}

void ToProto(const DeadLetter& letter, v1::DeadLetter& out) {
  out.set_dead_letter_id(letter.dead_letter_id.ToString());
  out.set_reason(letter.reason);
  out.set_detail(letter.detail);
  out.set_source(letter.source);
  ToProto(TimeOfUuidV7(letter.dead_letter_id.uuid), *out.mutable_received_at());
  ToProto(letter.at, *out.mutable_given_up_at());
  out.set_replays(letter.replays);
  out.set_body_bytes(letter.bytes);
  out.set_only_by_id(letter.only_by_id);
}

void ToProto(const DeadLetterGroup& group, v1::DeadLetterGroup& out) {
  out.set_reason(group.reason);
  out.set_source(group.source);
  out.set_count(group.count);
  out.set_only_by_id_count(group.only_by_id);
  ToProto(group.oldest, *out.mutable_oldest_at());
  ToProto(group.newest, *out.mutable_newest_at());
}

void ToProto(const MessageRecord& record, bool unmask, v1::DeadSend& out) {
  const MessageRequest& request = record.message.request;
  out.set_request_id(request.request_id);
  out.set_state(static_cast<v1::MessageState>(record.message.status.state));
  out.set_attempts(static_cast<int>(record.attempts.size()));
  out.set_sender(request.sender);
  out.set_recipient(unmask ? request.recipient : MaskedNumber(request.recipient));
  out.set_campaign_id(request.campaign_id);
}

}  // namespace postrider
