#pragma once

#include <cstdint>

#include "server/store/pg_session.h"

namespace postrider {

// How a seal of the hash chain is made, for those who make one: ChainSealer and BeginChain. A seal
// ends where chain_position says that it does; whoever makes it holds that row's lock.

/// Of which rows: those that are recorded since the chain began, or those that were there.
enum class SealOf : std::uint8_t { kNew, kBefore };

/// What a seal has so far.
struct MadeLinks {
  std::int64_t links = 0;
  std::int64_t rows = 0;
};

/// Makes the links over the rows of all three tables.
MadeLinks LinkRows(PgTransaction& transaction, SealOf of);
/// Makes links over the chain's row of chain_begin: one of no tenant, and with `of_all` one of each
/// tenant that has a chain. Returns how many.
std::int64_t LinkBegin(PgTransaction& transaction, SealOf of, bool of_all);
/// The links are all there: makes the seal that they are of.
void EndSeal(PgTransaction& transaction, SealOf of);

}  // namespace postrider
