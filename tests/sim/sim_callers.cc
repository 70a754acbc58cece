#include <algorithm>
#include <utility>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "tests/sim/sim_world.h"

// Those outside: callers, Genesys' webhooks, operators, recipients.
namespace postrider {

namespace {
constexpr int kMaxSends = 60;
constexpr int kCampaign = 20;  // Sent at once.
}  // namespace

bool SimWorld::Send::Accepted() const {
  return answer &&
         (answer->kind == Acceptance::Kind::kNew || answer->kind == Acceptance::Kind::kDuplicate);
}

void SimWorld::SendSomething() {
  SimReplica* const replica = AnyReplica();
  if (replica == nullptr) return;
  const bool repeat = !sends_.empty() && (sends_.size() >= kMaxSends || Below(3) == 0);
  if (repeat) {
    const std::size_t send = Below(sends_.size());
    if (!sends_[send].under_way) Submit(send, *replica);
    return;
  }
  const TenantId tenant = tenants_[Below(kTenants)];
  const bool campaign = Below(30) == 0;
  for (int left = campaign ? kCampaign : 1; left > 0; --left) SendNew(tenant, *replica);
  if (!campaign || Below(2) == 0) return;
  campaign_of_ = tenant;
  owner_leaves_at_ = clock_.Now() + std::chrono::milliseconds(1000 + Below(2500));
}

void SimWorld::SendNew(TenantId tenant, SimReplica& replica) {
  Send send;
  MessageRequest& request = send.message.request;
  request.tenant_id = tenant;
  request.request_id = StrCat("request-", sends_.size());
  request.recipient = StrCat("+1555000", 1000 + Below(5));
  request.sender_id = sender_;
  request.sender = "+15559990001";
  request.text = "Hello";
  request.campaign_id = Below(3) == 0 ? "spring" : "";
  if (Below(3) == 0) request.external_contact_id = StrCat("contact-", Below(3));
  request.priority = static_cast<Priority>(1 + Below(3));
  if (Below(4) == 0) request.duplicate_policy = DuplicatePolicy::kAtLeastOnce;
  if (Below(6) == 0) request.not_before = clock_.Wall() + std::chrono::seconds(Below(10));
  if (Below(8) == 0) request.expire_at = clock_.Wall() + std::chrono::seconds(1 + Below(10));
  send.message.fingerprint = Sha256Bytes(request.request_id);
  sends_.push_back(std::move(send));
  Submit(sends_.size() - 1, replica);
}

void SimWorld::Submit(std::size_t index, SimReplica& replica) {
  Send& send = sends_[index];
  NewMessage message = send.message;
  // Each try gets ids of its own, as from a gateway that knows nothing of the others.
  message.message_id = {MakeUuidV7(clock_.Wall(), random_)};
  message.new_conversation_id = {MakeUuidV4(random_)};
  send.under_way = true;
  const Flow flow = FlowOf(message.request);
  const bool taken = replica.accept().TrySubmit(
      std::move(message), [this, &send, flow, &replica](absl::StatusOr<Acceptance> answer) {
        send.under_way = false;
        if (!answer.ok() || Gone(&replica)) return;  // Killed: nobody hears it.
        replica.dispatcher().Wake(flow);
        const bool another = send.Accepted() && send.answer->message_id != answer->message_id;
        if (another) Breach(StrCat("S2: ", send.message.request.request_id, " made two messages"));
        send.answer = *answer;
      });
  if (!taken) send.under_way = false;
}

void SimWorld::CancelSomething() {
  if (sends_.empty()) return;
  Send& send = sends_[Below(sends_.size())];
  if (!send.Accepted()) return;
  const auto answer = store_.Cancel({send.message.request.tenant_id, send.answer->message_id});
  if (!answer.ok() || answer->kind != Cancellation::Kind::kCancelled) return;
  send.cancelled = true;
  Note(StrCat("cancelled ", send.answer->message_id.ToString()));
}

/// A webhook that was handed to a replica. It comes again unless it was answered 200, also when the
/// replica ends without a word.
struct SimWorld::Handover {
  Handover(SimWorld& at, SimGenesys::Webhook what) : world(at), webhook(std::move(what)) {
    ++world.webhooks_under_way_;
  }
  ~Handover() {
    --world.webhooks_under_way_;
    if (answered || --webhook.tries_left <= 0) return;
    world.genesys_.webhooks().push_back(std::move(webhook));
  }
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  SimWorld& world;
  SimGenesys::Webhook webhook;
  bool answered = false;
};

void SimWorld::DeliverWebhook() {
  std::vector<SimGenesys::Webhook>& webhooks = genesys_.webhooks();
  SimReplica* const replica = AnyReplica();
  if (webhooks.empty() || replica == nullptr) return;
  const std::size_t at = Below(webhooks.size());
  if (webhooks[at].due_at > clock_.Now()) return;
  SimGenesys::Webhook webhook = std::move(webhooks[at]);
  webhooks.erase(webhooks.begin() + static_cast<std::ptrdiff_t>(at));
  InboxRow row{.tenant_id = webhook.tenant_id,
               .inbox_id = {MakeUuidV7(clock_.Wall(), random_)},
               .profile = "guide",
               .body = webhook.body};
  auto handed_over = std::make_unique<Handover>(*this, std::move(webhook));
  replica->intake().Keep(std::move(row), [this, replica, it = std::move(handed_over)](
                                             const absl::Status& durable) mutable {
    if (durable.ok() && !Gone(replica)) {
      it->answered = true;
      ++webhooks_made_;
    }
    it = nullptr;
  });
}

OperatorAction SimWorld::Action() {
  return {.action_id = MakeUuidV7(clock_.Wall(), random_), .actor = "ops", .reason = "by chance"};
}

void SimWorld::OperateSomething(int depth) {
  const auto dice = Below(16);
  if (dice < 10) {
    PauseSomething();
  } else if (dice < 12) {
    // Between two steps, so that what was in force at which reading is known.
    if (depth == 0) OverrideBreaker();
  } else if (dice < 15) {
    if (Below(4) == 0 || !ReplayFailures()) ReplaySomething();
  } else {
    const TenantId tenant = tenants_[Below(kTenants)];
    const std::string recipient = StrCat("+1555000", 1000 + Below(5));
    const bool known =
        Below(2) == 0 ? OptOutByOperator(tenant, recipient) : OptOutByKeyword(tenant, recipient);
    // One whose commit is in doubt binds nobody yet.
    Ban& ban = bans_.emplace_back();
    ban.of.tenant_id = tenant;
    ban.recipient = recipient;
    ban.from = known ? store_.Changes() : SIZE_MAX;
    ban.to = SIZE_MAX;
    Note(StrCat(recipient, " opts out"));
  }
}

bool SimWorld::OptOutByOperator(TenantId tenant, const std::string& recipient) {
  ConsentEvent event{.tenant_id = tenant, .consent_id = MakeUuidV4(random_)};
  event.recipient = recipient;
  const bool known = store_.RecordConsent({&event, 1}, Action()).ok();
  bool& out = opted_out_.try_emplace({tenant, recipient}, known).first->second;
  out = out || known;
  return known;
}

bool SimWorld::OptOutByKeyword(TenantId tenant, const std::string& recipient) {
  const auto standing = [&] {
    const auto found = opted_out_.find({tenant, recipient});
    return found == opted_out_.end() ? std::nullopt : std::optional(found->second);
  };
  NewInbound entry;
  entry.row = {tenant, {MakeUuidV7(clock_.Wall(), random_)}, "guide", ""};
  entry.row.body = StrCat("STOP ", entry.row.inbox_id.ToString());
  entry.text.provider_message_id = entry.row.body;
  entry.text.sender = "+15559990001";
  entry.text.recipient = recipient;
  entry.text.text = "STOP";
  entry.keyword = Keyword::kOptOut;
  entry.new_conversation_id = {MakeUuidV4(random_)};
  entry.new_message_id = {MakeUuidV7(clock_.Wall(), random_)};
  const std::optional<bool> before = standing();
  // Tried, and told again, as a webhook is.
  bool known = false;
  for (auto tries = 1 + Below(3); tries > 0; --tries) {
    known = store_.RecordInbound({&entry, 1}).ok() || known;
  }
  const bool crossed = standing() != before;
  keyword_opt_outs_.push_back(
      {.tenant_id = tenant,
       .recipient = recipient,
       .request_id = StrCat("postrider:opt-out:", entry.row.inbox_id.ToString()),
       .least = known && !crossed && !before ? 1 : 0,
       .most = before.value_or(false) ? 0 : 1});
  bool& out = opted_out_.try_emplace({tenant, recipient}, known).first->second;
  out = out || known;
  return known;
}

void SimWorld::PauseSomething() {
  PauseTarget of{
      .tenant_id = tenants_[Below(kTenants)], .scope = PauseScope::kTenant, .target = ""};
  const auto dice = Below(4);
  if (dice < 2) {
    of.scope = PauseScope::kCampaign;
    of.target = "spring";
  } else if (dice == 2) {
    of.scope = PauseScope::kSender;
    of.target = sender_.ToString();
  }
  // Few hold for long: what waits is to leave, too.
  const bool resumes = Below(2) == 0;
  const bool for_ever = of.scope == PauseScope::kCampaign && Below(4) == 0;
  const WallTime until =
      for_ever ? WallTime{} : clock_.Wall() + std::chrono::milliseconds(500 + Below(3000));
  for (Ban& ban : bans_) {
    if (ban.recipient.empty() && ban.of == of) ban.to = std::min(ban.to, store_.Changes());
  }
  if (resumes) {
    (void)store_.ResumeDispatch(of, Action()).ok();
    return;
  }
  // One whose commit is in doubt binds nobody yet, but is to be ended.
  const bool known = store_.PauseDispatch(of, until, Action()).ok();
  bans_.push_back({.of = of,
                   .recipient = "",
                   .from = known ? store_.Changes() : SIZE_MAX,
                   .to = SIZE_MAX,
                   .until = until});
  Note(StrCat("paused: scope ", static_cast<int>(of.scope), " ", of.target));
}

void SimWorld::OverrideBreaker() {
  const BreakerKey key{tenants_[Below(kTenants)], kAllBreakers[Below(2)]};
  constexpr std::optional<BreakerState> kStates[] = {std::nullopt, BreakerState::kClosed,
                                                     BreakerState::kOpen};
  const std::optional<BreakerState> state = kStates[Below(3)];
  const WallTime until = clock_.Wall() + std::chrono::seconds(1 + Below(6));
  (void)store_.OverrideBreaker(key, state, until, Action()).ok();
  Note(StrCat("override: ", NameOf(key.breaker), " ", state ? NameOf(*state) : "none"));
}

void SimWorld::ReplaySomething() {
  const std::size_t first = sends_.empty() ? 0 : Below(sends_.size());
  for (std::size_t i = 0; i < sends_.size(); ++i) {
    const Send& send = sends_[(first + i) % sends_.size()];
    if (!send.Accepted()) continue;
    const MessageKey key{send.message.request.tenant_id, send.answer->message_id};
    const std::optional<Message> message = store_.Find(key);
    if (!message || !IsFailure(message->status.state)) continue;
    named_.insert(key.message_id);  // Also when the commit is in doubt.
    const auto replay = store_.ReplayMessage(key, Action());
    if (!replay.ok() || replay->kind != Replay::Kind::kReplayed) return;
    ++reach_.replays;
    Note(StrCat("replayed ", key.message_id.ToString()));
    return;
  }
}

bool SimWorld::ReplayFailures() {
  const DeadLetterChoice all{{.tenant_id = tenants_[Below(kTenants)]}, {}};
  const auto apart = std::chrono::milliseconds(Below(500));
  const auto change = store_.ReplayDeadLetters(all, apart, Action());
  if (!change.ok() || change->changed == 0) return false;
  reach_.failures_replayed += change->changed;
  Note(StrCat("replayed ", change->changed, " failures"));
  return true;
}

}  // namespace postrider
