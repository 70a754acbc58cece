// The Postgres that all integration tests of one ctest run share: a ctest fixture.
//   test_cluster start FILE    starts one in a new directory and leaves it running; FILE gets its
//                              URL and, on the second line, the directory
//   test_cluster stop FILE     stops the one that FILE names and removes directory and FILE
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>

#include "server/store/private_cluster.h"

namespace {

namespace fs = std::filesystem;
using postrider::PrivateCluster;

int Stop(const std::string& file) {
  std::string url;
  std::string dir;
  {
    std::ifstream in(file);
    std::getline(in, url);
    std::getline(in, dir);
  }
  std::error_code ignored;
  fs::remove(file, ignored);
  if (dir.empty() || !fs::exists(dir)) return 0;
  // Starting takes over what runs there; then it can be stopped as one's own.
  const bool stopped = [&] {
    const auto cluster = PrivateCluster::Start(dir);
    return cluster.ok() && (*cluster)->Stop().ok();
  }();
  fs::remove_all(dir, ignored);
  return stopped ? 0 : 1;
}

int Start(const std::string& file) {
  Stop(file);  // What an interrupted run left.
  std::string dir = (fs::temp_directory_path() / "postrider-cluster-XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) {
    std::perror(dir.c_str());
    return 1;
  }
  const auto cluster = PrivateCluster::Start(dir);
  if (!cluster.ok()) {
    std::fprintf(stderr, "%s\n", cluster.status().ToString().c_str());
    return 1;
  }
  std::ofstream(file) << (*cluster)->database_url() << "\n" << dir << "\n";
  // Leaves as a killed gateway would: the server goes on.
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "start") == 0) return Start(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], "stop") == 0) return Stop(argv[2]);
  std::fprintf(stderr, "usage: test_cluster start|stop FILE\n");
  return 64;
}
