# One target per library, its tests and benchmarks beside it.

add_library(tacit_flags INTERFACE)
target_include_directories(tacit_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(tacit_flags INTERFACE -Wall -Wextra -Wno-sign-compare
  # GCC 12 sees uninitialised members inside absl::InlinedVector.
  -Wno-maybe-uninitialized
  # Nothing replaces our functions at load time: let them be inlined.
  -fno-semantic-interposition)
# Highway compiles its VAES/AVX-512 path only where asked, and these are the
# paths that are worth their compile time: VAES and AVX-512, AVX2 and AES-NI,
# and the baseline (SSE2 on x86-64, NEON on Arm).
target_compile_definitions(tacit_flags INTERFACE
  HWY_WANT_AVX3_DL
  "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3)")

# tacit_library(NAME SOURCES ... DEPS ...): target tacit_NAME.
function(tacit_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(tacit_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(tacit_${name} PUBLIC tacit_flags ${ARG_DEPS})
endfunction()

# tacit_test(NAME SOURCES ... DEPS ... [LABELS ...] [TIMEOUT s]): a GoogleTest
# program, one ctest entry. Label "long" keeps it for `make test-all`.
function(tacit_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tacit_flags ${ARG_DEPS}
    GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  if(ARG_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  endif()
endfunction()

# tacit_process_test(NAME ...): a tacit_test that starts the tacit program
# (TACIT_PROGRAM) on the models of this tree (TACIT_MODELS).
function(tacit_process_test name)
  tacit_test(${name} ${ARGN})
  add_dependencies(${name} tacit)
  target_compile_definitions(${name} PRIVATE
    TACIT_MODELS="${PROJECT_SOURCE_DIR}/models"
    TACIT_PROGRAM="$<TARGET_FILE:tacit>")
endfunction()

# tacit_benchmark(NAME SOURCES ... DEPS ...): a Google Benchmark program.
function(tacit_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tacit_flags ${ARG_DEPS}
    benchmark::benchmark benchmark::benchmark_main)
endfunction()
