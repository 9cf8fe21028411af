# Debian packages first (Protobuf and gRPC before Torch: the torch wheel bundles its own protobuf headers), then torch
# from the private Python environment. The reasons are in docs/adr/0002-torch-behind-one-library.md.
find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(nlohmann_json 3.11 CONFIG REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)
find_package(prometheus-cpp CONFIG REQUIRED)  # and civetweb, which it is made with
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

if(SINKSTREAM_WITH_GRPC)
  find_package(Protobuf REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
endif()

if(SINKSTREAM_BUILD_TESTS)
  find_package(GTest CONFIG REQUIRED)
  include(GoogleTest)
endif()

if(SINKSTREAM_WITH_TORCH)
  execute_process(
    COMMAND "${SINKSTREAM_PYTHON}" -c "import torch; print(torch.utils.cmake_prefix_path)"
    OUTPUT_VARIABLE SINKSTREAM_TORCH_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE SINKSTREAM_TORCH_FAILED ERROR_QUIET)
  if(SINKSTREAM_TORCH_FAILED)
    message(FATAL_ERROR "no torch in ${SINKSTREAM_PYTHON}: run scripts/setup (or make build), "
                        "or configure with -DSINKSTREAM_WITH_TORCH=OFF")
  endif()
  pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
  set(Torch_DIR "${SINKSTREAM_TORCH_PREFIX}/Torch")
  find_package(Torch REQUIRED)
endif()
