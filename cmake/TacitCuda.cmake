# Finds CUDA's compiler and sets TACIT_HAVE_CUDA; TACIT_CUDA says what to do
# without one. Used by the whole tree and by gpu/ configured alone.
#
# FindCUDAToolkit is not used: it needs more of the toolkit than is needed here,
# which is the compiler and the static runtime.
set(TACIT_CUDA auto CACHE STRING
  "CUDA backend: auto (if nvcc is found), on (fail without nvcc), off")
set_property(CACHE TACIT_CUDA PROPERTY STRINGS auto on off)

set(TACIT_HAVE_CUDA OFF)
if(TACIT_CUDA STREQUAL off)
  return()
elseif(NOT TACIT_CUDA MATCHES "^(auto|on)$")
  message(FATAL_ERROR "TACIT_CUDA is ${TACIT_CUDA}; it is auto, on or off")
endif()

get_filename_component(TACIT_ROOT ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
find_program(TACIT_NVCC nvcc
  HINTS ENV CUDA_HOME ENV CUDA_PATH
  PATHS ${TACIT_ROOT}/build/cuda-toolkit/cuda/bin /usr/local/cuda/bin
  PATH_SUFFIXES bin
  DOC "CUDA's compiler")
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  if(NOT TACIT_NVCC)
    if(TACIT_CUDA STREQUAL on)
      message(FATAL_ERROR "TACIT_CUDA is on and there is no nvcc: run "
        "'make deps-cuda', or set CMAKE_CUDA_COMPILER")
    endif()
    message(STATUS "No nvcc: built without CUDA ('make deps-cuda' brings it)")
    return()
  endif()
  set(CMAKE_CUDA_COMPILER ${TACIT_NVCC})
endif()

# Architectures are chosen before the language is enabled: the compiler's own
# default may be one that it no longer compiles for. One without -real brings PTX
# for later devices too.
set(default_architectures "80-real;86-real;89-real;90a-real;100")
if(CMAKE_CUDA_COMPILER)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version
    OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
  if(nvcc_version MATCHES "release 12\\.([0-9]+)" AND CMAKE_MATCH_1 LESS 8)
    set(default_architectures "80-real;86-real;89-real;90a-real;90")
  endif()
endif()
set(TACIT_CUDA_ARCHITECTURES "${default_architectures}" CACHE STRING
  "CUDA architectures to compile for")
set(CMAKE_CUDA_ARCHITECTURES ${TACIT_CUDA_ARCHITECTURES})
# The same compiler for the host's half of a .cu file as for everything else.
if(NOT CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
  message(FATAL_ERROR "CUDA ${CMAKE_CUDA_COMPILER_VERSION} is too old: 12.4 or "
    "later is needed. Set TACIT_CUDA=off to build without")
endif()
# CMake 3.25 does not know that nvcc has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
if(CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
set(TACIT_HAVE_CUDA ON)
message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION}, architectures "
  "${TACIT_CUDA_ARCHITECTURES}")
