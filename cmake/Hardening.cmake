# Sanitizer flags apply to everything, so that no part of a program runs without them.
if(OPENFUNNEL_ASAN)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(OPENFUNNEL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
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
