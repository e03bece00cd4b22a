# Targets of gpu/. The kernel layer (tacit_gpu_library) knows the standard
# library and CUDA alone; what also needs Abseil, GoogleTest or Google Benchmark
# is left out where gpu/ is configured alone.

# What the kernel layer is compiled with, as C++ and as CUDA.
add_library(tacit_gpu_flags INTERFACE)
target_include_directories(tacit_gpu_flags INTERFACE
  ${CMAKE_CURRENT_LIST_DIR}/..)
target_compile_options(tacit_gpu_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-sign-compare>
  # constexpr functions, as of common/ring/ring.h, are callable on the device.
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wno-sign-compare,-Wno-unknown-pragmas>")
target_link_libraries(tacit_gpu_flags INTERFACE ${CMAKE_DL_LIBS})
if(TACIT_HAVE_CUDA)
  target_compile_definitions(tacit_gpu_flags INTERFACE TACIT_HAVE_CUDA=1)
endif()

# `make cuda` and bench/gpu_pack.sh build this: all programs of gpu/.
add_custom_target(tacit_gpu_all)

# tacit_gpu_library(NAME SOURCES a.cc CUDA b.cu NO_CUDA c.cc DEPS ...): target
# tacit_gpu_NAME. CUDA sources are compiled where there is nvcc, NO_CUDA ones
# where there is none: the same functions, answering that there is no CUDA.
function(tacit_gpu_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;CUDA;NO_CUDA;DEPS" ${ARGN})
  set(sources ${ARG_SOURCES})
  if(TACIT_HAVE_CUDA)
    list(APPEND sources ${ARG_CUDA})
  else()
    list(APPEND sources ${ARG_NO_CUDA})
  endif()
  if(sources)
    add_library(tacit_gpu_${name} STATIC ${sources})
    target_link_libraries(tacit_gpu_${name} PUBLIC tacit_gpu_flags ${ARG_DEPS})
  else()
    add_library(tacit_gpu_${name} INTERFACE)
    target_link_libraries(tacit_gpu_${name} INTERFACE tacit_gpu_flags
      ${ARG_DEPS})
  endif()
endfunction()

# tacit_gpu_checks(SOURCES x_check.cc ... DEPS ...): comparisons of a kernel on
# the device with its reference (gpu/check/check.h), run by gpu_check and, as a
# test, by gpu_check_test. Only where there is nvcc.
function(tacit_gpu_checks)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_property(GLOBAL APPEND PROPERTY TACIT_GPU_CHECK_SOURCES ${ARG_SOURCES})
  set_property(GLOBAL APPEND PROPERTY TACIT_GPU_CHECK_DEPS ${ARG_DEPS})
endfunction()

# tacit_gpu_test(NAME ...): a tacit_test of gpu/, named gpu_*_test. It runs
# everywhere; what needs a device skips, saying so.
function(tacit_gpu_test name)
  if(NOT TACIT_GPU_ALONE)
    tacit_test(${name} ${ARGN})
    set_property(TEST ${name} APPEND PROPERTY LABELS gpu)
    # Nothing ran: ctest says "skipped" then.
    set_property(TEST ${name} PROPERTY SKIP_REGULAR_EXPRESSION
      "\\[  PASSED  \\] 0 tests")
    add_dependencies(tacit_gpu_all ${name})
  endif()
endfunction()

# tacit_gpu_cuda_test(NAME ...): a tacit_gpu_test with CUDA sources, only where
# there is nvcc.
function(tacit_gpu_cuda_test name)
  if(TACIT_HAVE_CUDA)
    tacit_gpu_test(${name} ${ARGN})
  endif()
endfunction()

# tacit_gpu_benchmark(NAME ...): a tacit_benchmark of kernels on the device,
# named gpu_*_benchmark. Only where there is nvcc.
function(tacit_gpu_benchmark name)
  if(TACIT_HAVE_CUDA AND NOT TACIT_GPU_ALONE)
    tacit_benchmark(${name} ${ARGN})
    add_dependencies(tacit_gpu_all ${name})
  endif()
endfunction()
