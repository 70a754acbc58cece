// The Postgres that all integration tests of one ctest run share: a ctest fixture.
//   test_cluster start DIR URL_FILE    starts it in DIR, afresh, and leaves it running
//   test_cluster stop DIR URL_FILE     stops it and removes DIR
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "server/base/strings.h"
#include "server/store/private_cluster.h"

namespace {

using postrider::PrivateCluster;

int Start(const std::string& dir, const std::string& url_file) {
  {
    // Stops what an interrupted run may have left there.
    auto earlier = std::filesystem::exists(dir) ? PrivateCluster::Start(dir) : nullptr;
  }
  std::filesystem::remove_all(dir);
  const auto cluster = PrivateCluster::Start(dir);
  if (!cluster.ok()) {
    std::fprintf(stderr, "%s\n", cluster.status().ToString().c_str());
    return 1;
  }
  std::ofstream(url_file) << (*cluster)->database_url() << "\n";
  // Leaves as a killed gateway would: the server goes on, and stop takes it over.
  std::_Exit(0);
}

int Stop(const std::string& dir, const std::string& url_file) {
  std::filesystem::remove(url_file);
  if (auto cluster = PrivateCluster::Start(dir); cluster.ok()) {
    if (!(*cluster)->Stop().ok()) return 1;
  }
  std::filesystem::remove_all(dir);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "start") == 0) return Start(argv[2], argv[3]);
  if (argc == 4 && std::strcmp(argv[1], "stop") == 0) return Stop(argv[2], argv[3]);
  std::fprintf(stderr, "usage: test_cluster start|stop DIR URL_FILE\n");
  return 64;
}
