#include "server/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace sinkstream {
namespace {

std::string WithoutBrackets(const std::string& host) {
  absl::string_view inside = host;
  const bool bracketed = absl::ConsumePrefix(&inside, "[") && absl::ConsumeSuffix(&inside, "]");
  return bracketed ? std::string(inside) : host;
}

// errno of the attempt, or 0.
int TryToListen(const addrinfo& address) {
  const int at = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (at < 0) return errno;
  const int yes = 1;
  setsockopt(at, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);  // what has ended is not in the way
  const bool listens =
      bind(at, address.ai_addr, address.ai_addrlen) == 0 && listen(at, /*backlog=*/1) == 0;
  const int error = listens ? 0 : errno;
  close(at);
  return error;
}

}  // namespace

bool IsAddressAndPort(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  const std::string host = HostOf(listen);
  if (absl::StrContains(host, ':') && WithoutBrackets(host) == host) return false;
  int port = -1;
  return listen.find_first_of(",+") == std::string::npos &&
         absl::SimpleAtoi(listen.substr(colon + 1), &port) && port >= 0 && port <= 65535;
}

bool IsLoopbackAddress(const std::string& address) {
  in_addr four = {};
  if (inet_pton(AF_INET, address.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six = {};
  return inet_pton(AF_INET6, address.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool IsLoopback(const std::string& listen) {
  const std::string host = HostOf(listen);
  return absl::EqualsIgnoreCase(host, "localhost") || IsLoopbackAddress(WithoutBrackets(host));
}

std::string WhyNotListen(const std::string& listen) {
  const std::string host = WithoutBrackets(HostOf(listen));
  const std::string port = listen.substr(listen.rfind(':') + 1);
  addrinfo wanted = {}, *found = nullptr;
  wanted.ai_flags = AI_PASSIVE;
  wanted.ai_socktype = SOCK_STREAM;
  const int unknown = getaddrinfo(host.c_str(), port.c_str(), &wanted, &found);
  if (unknown == EAI_SYSTEM) return std::generic_category().message(errno);
  if (unknown != 0) return gai_strerror(unknown);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  int error = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    error = TryToListen(*address);
    if (error == 0) return "";
  }
  return std::generic_category().message(error);
}

std::string HostOf(const std::string& listen) { return listen.substr(0, listen.rfind(':')); }

}  // namespace sinkstream
