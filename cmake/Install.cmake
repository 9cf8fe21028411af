# What `cmake --install` lays down, in three components: server, chat, tools. docs/operations.md tells the tree.
include(GNUInstallDirs)

option(SINKSTREAM_BUNDLE_TORCH
  "Install libtorch_cpu.so and libc10.so beside the operators; OFF: they are found where they were at build time" ON)

set(SINKSTREAM_PRIVATE_LIBDIR "${CMAKE_INSTALL_LIBDIR}/sinkstream")
set(SINKSTREAM_DATADIR "${CMAKE_INSTALL_DATADIR}/sinkstream")

# The whole of libtorch that serving needs. libgomp, which it also asks for, is the system's. Its symbols, a fifth of it, go
# where ours go: with --strip, and in packages.
function(sinkstream_install_torch)
  install(IMPORTED_RUNTIME_ARTIFACTS torch_cpu c10
    LIBRARY DESTINATION "${SINKSTREAM_PRIVATE_LIBDIR}" COMPONENT server
    RUNTIME DESTINATION "${SINKSTREAM_PRIVATE_LIBDIR}" COMPONENT server)
  install(CODE "
    if(CMAKE_INSTALL_DO_STRIP)
      execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-unneeded
        \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${SINKSTREAM_PRIVATE_LIBDIR}/libtorch_cpu.so\"
        \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${SINKSTREAM_PRIVATE_LIBDIR}/libc10.so\"
        COMMAND_ERROR_IS_FATAL ANY)
    endif()" COMPONENT server)
  file(GLOB licences "${SINKSTREAM_TORCH_PREFIX}/../../../torch-*.dist-info/licenses")
  install(DIRECTORY ${licences}/ DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/sinkstream-server/libtorch" COMPONENT server)
endfunction()

function(sinkstream_install_server)
  file(RELATIVE_PATH libraries "/${CMAKE_INSTALL_BINDIR}" "/${SINKSTREAM_PRIVATE_LIBDIR}")
  set(torch)
  if(SINKSTREAM_BUNDLE_TORCH)
    sinkstream_install_torch()
  else()
    get_target_property(torch torch_cpu LOCATION)
    get_filename_component(torch "${torch}" DIRECTORY)
  endif()
  set_target_properties(sinkstream-server PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries};${torch}")
  set_target_properties(sinkstream_ops PROPERTIES INSTALL_RPATH "$ORIGIN;${torch}")
  install(TARGETS sinkstream-server RUNTIME COMPONENT server)
  install(TARGETS sinkstream_ops LIBRARY DESTINATION "${SINKSTREAM_PRIVATE_LIBDIR}" COMPONENT server)
  install(FILES deploy/systemd/sinkstream.service DESTINATION lib/systemd/system COMPONENT server)
  install(FILES deploy/systemd/sinkstream.conf DESTINATION lib/sysusers.d COMPONENT server)
  install(FILES deploy/systemd/server.flags DESTINATION "${SINKSTREAM_DATADIR}" COMPONENT server)
  install(FILES README.md CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/sinkstream-server" COMPONENT server)
  install(DIRECTORY deploy/prometheus deploy/grafana DESTINATION
    "${CMAKE_INSTALL_DATADIR}/doc/sinkstream-server/deploy" COMPONENT server PATTERN "__pycache__" EXCLUDE)
  install(DIRECTORY docs DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/sinkstream-server" COMPONENT server)
endfunction()

if(NOT SINKSTREAM_WITH_GRPC)
  return()
endif()

set(SINKSTREAM_COMPONENTS chat tools)
install(TARGETS sinkstream-chat RUNTIME COMPONENT chat)
install(DIRECTORY proto/ DESTINATION "${SINKSTREAM_DATADIR}/proto" COMPONENT chat FILES_MATCHING PATTERN "*.proto")
install(TARGETS sinkstream-eval sinkstream-loadgen RUNTIME COMPONENT tools)
if(SINKSTREAM_WITH_TORCH)
  list(APPEND SINKSTREAM_COMPONENTS server)
  sinkstream_install_server()
endif()
foreach(component IN LISTS SINKSTREAM_COMPONENTS)
  install(FILES LICENSE deploy/debian/copyright
    DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/sinkstream-${component}" COMPONENT ${component})
endforeach()
