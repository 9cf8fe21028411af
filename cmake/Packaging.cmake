# `cpack` (make package): sinkstream-server, -chat and -tools as .deb, in build/package.
if(NOT SINKSTREAM_WITH_TORCH OR NOT SINKSTREAM_WITH_GRPC)
  return()
endif()

# What only a Debian system has a place for; `cmake --install` leaves it out.
install(FILES deploy/systemd/server.flags DESTINATION /etc/sinkstream COMPONENT server_settings EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/package")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL server server_settings chat tools)
set(CPACK_COMPONENT_SERVER_GROUP server)
set(CPACK_COMPONENT_SERVER_SETTINGS_GROUP server)
set(CPACK_DEB_COMPONENT_INSTALL ON)

set(CPACK_PACKAGE_CONTACT "The sinkstream authors <sinkstream@localhost>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_SERVER_PACKAGE_NAME sinkstream-server)
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS sinkstream-chat)
set(CPACK_DEBIAN_SERVER_DESCRIPTION "gRPC server for chat sessions that never end
 Sessions keep attention sinks and a sliding window, so that memory and time per
 token stay the same however long they go on. libtorch comes along.")
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA conffiles postinst prerm postrm)
list(TRANSFORM CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA PREPEND "${PROJECT_SOURCE_DIR}/deploy/debian/")

set(CPACK_DEBIAN_CHAT_PACKAGE_NAME sinkstream-chat)
set(CPACK_DEBIAN_CHAT_DESCRIPTION "terminal chat and wire contract of sinkstream
 The client of a sinkstream server, and the protocol's .proto files.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME sinkstream-tools)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "load generator and evaluation for sinkstream
 Measures a running sinkstream server: throughput, latencies, perplexity.")
include(CPack)
