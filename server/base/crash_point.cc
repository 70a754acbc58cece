#include "server/base/crash_point.h"

#include <atomic>
#include <cstdlib>
#include <signal.h>
#include <string>
#include <unistd.h>

namespace postrider {

namespace {

struct Order {
  std::string name;
  int passages = 1;
};

Order ReadOrder() {
  const char* const set = std::getenv("POSTRIDER_CRASH_AT");
  if (set == nullptr) return {};
  Order order{.name = set};
  const std::size_t colon = order.name.rfind(':');
  if (colon != std::string::npos) {
    order.passages = std::atoi(order.name.c_str() + colon + 1);
    order.name.resize(colon);
  }
  return order;
}

}  // namespace

void CrashPoint(std::string_view name) {
  static const Order order = ReadOrder();
  static std::atomic<int> passed = 0;
  if (order.name.empty() || name != order.name) return;
  if (++passed == order.passages) kill(getpid(), SIGKILL);
}

}  // namespace postrider
