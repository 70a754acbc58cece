#include <algorithm>
#include <utility>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/sim/sim_world.h"

// The streams, and those who read them.
namespace postrider {

void SimWorld::CloseStream(Reader& reader) {
  if (reader.subscription == nullptr) return;
  Place& place = places_[static_cast<std::size_t>(reader.place)];
  place.replica->hub().Unsubscribe(reader.subscription);
  reader.subscription = nullptr;
  reader.place = -1;
}

void SimWorld::Read(Reader& reader) {
  if (reader.subscription != nullptr && !healed_at_ && Below(30) == 0) CloseStream(reader);
  if (reader.subscription == nullptr) {
    SimReplica* const replica = AnyReplica();
    if (replica == nullptr) return;
    EventFilter filter;
    filter.tenant_id = reader.tenant;
    reader.subscription = replica->hub().Subscribe(filter, [] {}).value();
    reader.subscription->Begin(reader.token);
    reader.place = replica->index();
  }
  Place& place = places_[static_cast<std::size_t>(reader.place)];
  if (clock_.Now() >= place.frozen_until) ReadOn(reader);
}

void SimWorld::ReadOn(Reader& reader) {
  // While it waits for the store, its replica may be killed.
  const std::shared_ptr<Subscription> stream = reader.subscription;
  // A slow reader takes a few; the rest waits in the bounded buffer, or in the store.
  for (auto left = 1 + Below(40); left > 0; --left) {
    if (const auto change = stream->Next()) {
      if (change->event->tenant_id != reader.tenant) {
        Breach(StrCat("S15: a stream told of another tenant's ",
                      change->event->message_id.ToString()));
      }
      reader.seen.emplace_back(change->event->message_id, change->event->status.revision);
      reader.token = change->position;
      continue;
    }
    const auto behind = stream->Behind();
    if (!behind) break;
    Tick to = behind->to;
    if (!behind->exact) {
      const auto nearer = store_.NextTick(behind->from, kMaxTailRange);
      if (!nearer.ok() || reader.subscription != stream) return;
      if (nearer->number > behind->from.number && nearer->number < to.number) to = *nearer;
    }
    auto events = store_.EventsBetween(behind->from, to, reader.tenant);
    if (!events.ok() || reader.subscription != stream) return;
    stream->Feed({behind->from, to, *std::move(events)});
  }
  // As a checkpoint does.
  if (Below(3) == 0) reader.token = stream->Position();
}

}  // namespace postrider
