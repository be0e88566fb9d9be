# Sanitizer flags apply to everything, so that no part of a program runs without them.
if(OPENFUNNEL_ASAN)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(OPENFUNNEL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(OPENFUNNEL_TSAN)
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  # ThreadSanitizer's fixed mappings collide with the widest address randomisation: tests then run without it.
  execute_process(COMMAND setarch -R true RESULT_VARIABLE no_setarch OUTPUT_QUIET ERROR_QUIET)
  if(NOT no_setarch)
    set(CMAKE_CROSSCOMPILING_EMULATOR setarch -R)
  endif()
endif()
if(OPENFUNNEL_MSAN)
  add_compile_options(-fsanitize=memory -fsanitize-memory-track-origins -fno-omit-frame-pointer)
  add_link_options(-fsanitize=memory)
endif()
if(OPENFUNNEL_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()

add_library(of_hardening INTERFACE)
target_compile_options(of_hardening INTERFACE
  -fno-common -fvisibility=hidden -fstack-protector-strong
  $<$<CONFIG:Release>:-fstack-clash-protection>
  $<$<AND:$<CONFIG:Release>,$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>>:-fcf-protection=full>
  $<$<AND:$<CONFIG:Release>,$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},aarch64>>:-mbranch-protection=standard>
  $<$<AND:$<CONFIG:Release>,$<C_COMPILER_ID:GNU>>:-ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr>)
target_compile_definitions(of_hardening INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=3> _GNU_SOURCE)
target_link_options(of_hardening INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()
# Asserts stay on in release: -O2 without -DNDEBUG.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
