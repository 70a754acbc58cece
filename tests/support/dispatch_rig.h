#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/base/check.h"
#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/dispatch/dispatcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_provider.h"
#include "tests/support/fake_store.h"

namespace postrider {

/// What replicas share: the store, the outside world, the tenants' settings.
struct DispatchWorld {
  FakeClock clock;
  FakeStore store{clock};
  FakeProviderFactory outside;
  SeededRandom random{7};
  Metrics metrics;
  TenantId tenant{MakeUuidV4(random)};
  SenderId sender{MakeUuidV4(random)};
  std::map<TenantId, std::shared_ptr<const TenantSettings>> settings;
  NextAllowedTime next_allowed;  ///< By quiet hours; null: always.
  int made = 0;

  DispatchWorld() { SetRate(tenant, 10, 5); }

  void SetRate(TenantId of, double rate_per_s, double burst) {
    TenantSettings next;
    next.rate_per_s = rate_per_s;
    next.burst = burst;
    next.account.client_id = of.ToString();
    settings[of] = std::make_shared<const TenantSettings>(next);
  }

  /// Accepts a message of `of`, as `change` makes it.
  MessageKey AcceptWith(TenantId of, const std::function<void(MessageRequest&)>& change) {
    NewMessage message;
    message.request.tenant_id = of;
    message.request.request_id = StrCat("request-", ++made);
    message.request.recipient = "+15550000001";
    message.request.sender_id = sender;
    message.request.sender = "+15559990001";
    message.request.text = "Hello";
    change(message.request);
    message.message_id = {MakeUuidV7(clock.Wall(), random)};
    message.new_conversation_id = {MakeUuidV4(random)};
    message.fingerprint = Sha256Bytes(message.request.request_id);
    PR_CHECK(store.Accept({&message, 1}).ok());
    return {of, message.message_id};
  }
  MessageKey AcceptWith(const std::function<void(MessageRequest&)>& change) {
    return AcceptWith(tenant, change);
  }
  MessageKey Accept(TenantId of, const std::string& recipient = "+15550000001") {
    return AcceptWith(of, [&](MessageRequest& request) { request.recipient = recipient; });
  }
  /// Changes the settings of `of`.
  void Configure(TenantId of, const std::function<void(TenantSettings&)>& change) {
    TenantSettings next = *settings.at(of);
    change(next);
    settings[of] = std::make_shared<const TenantSettings>(std::move(next));
  }
  MessageKey Accept(const std::string& recipient = "+15550000001") {
    return Accept(tenant, recipient);
  }

  MessageRecord Record(const MessageKey& key) { return store.GetMessage(key).value(); }
  MessageState StateOf(const MessageKey& key) { return Record(key).message.status.state; }
  std::size_t Sent() const { return outside.sent_count(); }
  /// The metric's value; it must be there.
  double Metric(const std::string& name) {
    const std::string text = metrics.Expose();
    const std::size_t at = text.find(StrCat("\n", name, " "));
    PR_CHECK(at != text.npos);
    return std::stod(text.substr(at + name.size() + 2));
  }
};

/// One replica, driven step by step without threads.
struct Replica {
  DispatchWorld& world;
  SlotOwner owner;
  Dispatcher dispatcher;

  explicit Replica(DispatchWorld& in)
      : world(in),
        owner(in.store, in.clock, in.random, in.metrics, {.name = "test"}),
        dispatcher(in.store, in.outside, owner, in.clock, in.random, in.metrics,
                   {.posters_min = 2,
                    .posters_max = 2,
                    .doubt = {},
                    .settings =
                        [&in](TenantId id) {
                          const auto found = in.settings.find(id);
                          return found == in.settings.end() ? nullptr : found->second;
                        },
                    .next_allowed = [&in](const MessageRequest& request,
                                          WallTime at) -> std::optional<WallTime> {
                      return in.next_allowed ? in.next_allowed(request, at) : at;
                    }}) {
    owner.Step();
  }

  void Post() {
    while (dispatcher.PostStep() > 0) {
    }
  }
  void RecordAll() {
    while (dispatcher.RecordStep() > 0) {
    }
  }
  /// Everything that can be done now.
  void Work() {
    owner.Step();
    dispatcher.ChooseStep();
    Post();
    RecordAll();
  }
  /// Works for `time`, looking every `step`.
  void WorkFor(std::chrono::nanoseconds time, std::chrono::nanoseconds step = 20ms) {
    for (std::chrono::nanoseconds passed{}; passed < time; passed += step) {
      world.clock.Advance(step);
      Work();
    }
  }
};

}  // namespace postrider
