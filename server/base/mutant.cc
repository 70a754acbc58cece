#include "server/base/mutant.h"

#ifdef POSTRIDER_MUTANTS

#include <atomic>

namespace postrider {

namespace {
std::atomic<Mutant> in_force = Mutant::kNone;
}  // namespace

bool Mutated(Mutant mutant) { return in_force.load(std::memory_order_relaxed) == mutant; }

void SetMutant(Mutant mutant) { in_force.store(mutant, std::memory_order_relaxed); }

}  // namespace postrider

#endif
