#include "server/base/random.h"

#include <array>
#include <cstring>
#include <sys/random.h>

#include "server/base/check.h"

namespace postrider {

void Random::Fill(std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t word = Next();
    const std::size_t n = std::min(bytes.size(), sizeof word);
    std::memcpy(bytes.data(), &word, n);
    bytes = bytes.subspan(n);
  }
}

std::uint64_t OsRandom::Next() {
  // One system call for 32 words: ids are made on the path of every message.
  thread_local std::array<std::uint64_t, 32> words;
  thread_local std::size_t used = words.size();
  if (used == words.size()) {
    PR_CHECK(getrandom(words.data(), sizeof words, 0) == sizeof words);
    used = 0;
  }
  return words.at(used++);
}

}  // namespace postrider
