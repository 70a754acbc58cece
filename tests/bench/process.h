#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace postrider::bench {

/// Where a gateway listens, and a token for it.
struct GatewayAddresses {
  std::string grpc;
  int webhook_port = 0;
  std::string webhook_path;
  int ops_port = 0;
  std::string token;
};

/// A child process; gets SIGTERM and is waited for at the end. Its stdin ends with us.
class ChildOf {
 public:
  explicit ChildOf(const std::vector<std::string>& arguments);
  ~ChildOf();
  ChildOf(const ChildOf&) = delete;
  ChildOf& operator=(const ChildOf&) = delete;

  bool Runs() const;
  double RssMib() const;
  std::string FirstLine();

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;
  int stdout_ = -1;
};

/// A postriderd on free ports; ready when constructed.
class GatewayProcess {
 public:
  GatewayProcess(const std::string& postriderd, const std::vector<std::string>& flags,
                 const std::string& state_dir);

  const GatewayAddresses& addresses() const { return addresses_; }
  double RssMib() const { return child_.RssMib(); }

 private:
  ChildOf child_;
  GatewayAddresses addresses_;
};

/// This program as an echo server.
class EchoProcess {
 public:
  explicit EchoProcess(const std::string& self);
  int port() const { return port_; }
  double RssMib() const { return child_.RssMib(); }

 private:
  ChildOf child_;
  int port_ = 0;
};

}  // namespace postrider::bench
