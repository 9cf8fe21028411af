#include "server/listen_address.h"

#include <gtest/gtest.h>

namespace sinkstream {
namespace {

TEST(ListenAddress, LoopbackIsWhatNoOtherMachineReaches) {
  for (const char* address :
       {"127.0.0.1:50051", "127.8.9.10:0", "localhost:1", "LocalHost:1", "[::1]:50051"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "128.0.0.1:1", "127.0.0.1.example.org:1",
        "localhost.example.org:1", "[::ffff:10.0.0.1]:1", "*:50051", "127.0.0:1", "[::1:50051"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(ListenAddress, AnAddressAloneIsOfLoopbackOrNot) {
  for (const char* address : {"127.0.0.1", "127.8.9.10", "::1"}) {
    EXPECT_TRUE(IsLoopbackAddress(address)) << address;
  }
  for (const char* address : {"", "10.0.0.1", "::", "::2", "127.evil", "127.0.0.1:1", "[::1]"}) {
    EXPECT_FALSE(IsLoopbackAddress(address)) << address;
  }
}

TEST(ListenAddress, HasAnAddressAndAPort) {
  for (const char* address : {"127.0.0.1:0", "[::1]:65535", "name:1"}) {
    EXPECT_TRUE(IsAddressAndPort(address)) << address;
  }
  for (const char* address :
       {"", ":1", "name", "name:", "name:x", "name:65536", "name:-1", "0.0.0.0:80,127.0.0.1:9464",
        "127.0.0.1:1+127.0.0.1:2", "::1:5005", ":::50051"}) {
    EXPECT_FALSE(IsAddressAndPort(address)) << address;
  }
}

TEST(ListenAddress, TheSystemTellsWhyNobodyListensThere) {
  EXPECT_EQ(WhyNotListen("127.0.0.1:0"), "");
  EXPECT_EQ(WhyNotListen("localhost:0"), "");
  EXPECT_EQ(WhyNotListen("192.0.2.1:0"), "Cannot assign requested address");
}

}  // namespace
}  // namespace sinkstream
