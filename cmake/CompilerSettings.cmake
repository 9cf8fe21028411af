# C++20, warnings for our own code, sanitizers by cache variable, ccache when it is there.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(SINKSTREAM_X86 OFF)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(SINKSTREAM_X86 ON)
endif()

find_program(SINKSTREAM_CCACHE ccache)
if(SINKSTREAM_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${SINKSTREAM_CCACHE}")
endif()

# Linked by our own targets alone; generated code is exempt.
add_library(sinkstream_warnings INTERFACE)
target_compile_options(sinkstream_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Werror)

if(SINKSTREAM_SANITIZE)
  # A null pointer faults without a check of its own, x86 reads from any address: these two are half the time it takes to compile.
  add_compile_options(-fsanitize=${SINKSTREAM_SANITIZE} -fno-sanitize=null,alignment -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=${SINKSTREAM_SANITIZE})
endif()

# What a test needs in its environment to load a library of ours into Python. Python itself leaks.
set(SINKSTREAM_PYTHON_ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1" "OMP_WAIT_POLICY=passive")
if(SINKSTREAM_SANITIZE)
  # Checks put between the steps of a constructor make gcc 12 see members that are not set.
  target_compile_options(sinkstream_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
if(SINKSTREAM_SANITIZE MATCHES "address")
  foreach(library IN ITEMS libasan.so libstdc++.so)
    execute_process(COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=${library}
      OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(APPEND SINKSTREAM_PRELOAD "${path}:")
  endforeach()
  list(APPEND SINKSTREAM_PYTHON_ENVIRONMENT
    "LD_PRELOAD=${SINKSTREAM_PRELOAD}" "ASAN_OPTIONS=detect_leaks=0")
endif()
