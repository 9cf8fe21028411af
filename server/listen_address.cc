#include "server/listen_address.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace sinkstream {

bool IsAddressAndPort(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  return colon != std::string::npos && colon > 0 &&
         listen.find_first_of(",+") == std::string::npos &&
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
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  absl::string_view inside = host;
  const bool bracketed = absl::ConsumePrefix(&inside, "[") && absl::ConsumeSuffix(&inside, "]");
  return IsLoopbackAddress(std::string(bracketed ? inside : absl::string_view(host)));
}

std::string HostOf(const std::string& listen) { return listen.substr(0, listen.rfind(':')); }

}  // namespace sinkstream
