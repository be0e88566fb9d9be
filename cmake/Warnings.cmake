# One interface target; each flag found a real mistake in code of this kind (docs/principles.md).
add_library(of_warnings INTERFACE)
target_compile_options(of_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wundef -Wvla -Walloca -Wformat=2 -Wcast-qual -Wpointer-arith -Wwrite-strings
  -Wimplicit-fallthrough -Wdouble-promotion -Wredundant-decls -Wdate-time
  $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wformat-signedness
    -Wformat-overflow=2 -Wno-format-truncation -Warith-conversion -Wtrampolines -Wjump-misses-init>
  $<$<C_COMPILER_ID:Clang>:-Wcomma -Wassign-enum -Wmissing-variable-declarations -Wthread-safety
    -Wunreachable-code -Wno-gnu-zero-variadic-macro-arguments>
  $<$<BOOL:${OPENFUNNEL_WERROR}>:-Werror>)
