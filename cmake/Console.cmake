# The web console (web/console/): esbuild, of the lock file's version, makes it at build time; the files become part of
# the program. Packages stand beside the source, so that all build folders share one installation.
find_program(NODE_PROGRAM NAMES node nodejs)
find_program(NPM_PROGRAM NAMES npm)
find_program(FLOCK_PROGRAM NAMES flock)
if(NOT NODE_PROGRAM OR NOT NPM_PROGRAM OR NOT FLOCK_PROGRAM)
  message(FATAL_ERROR "building the web console needs Node.js 18 or later with npm, and flock: "
    "run scripts/setup, or apt-get install nodejs npm util-linux")
endif()
execute_process(COMMAND ${NODE_PROGRAM} -p "process.versions.node.split('.')[0]" OUTPUT_VARIABLE node_major
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT node_major GREATER_EQUAL 18)
  message(FATAL_ERROR "building the web console needs Node.js 18 or later; ${NODE_PROGRAM} is ${node_major}")
endif()

set(console_dir ${CMAKE_SOURCE_DIR}/web/console)
set(console_out ${CMAKE_BINARY_DIR}/generated/console)
file(GLOB_RECURSE console_sources CONFIGURE_DEPENDS ${console_dir}/src/*)

set(console_packages ${CMAKE_BINARY_DIR}/generated/console-packages.stamp)
add_custom_command(OUTPUT ${console_packages}
  # Two build folders may want it at once, and a third may have done it already. One folder up: npm empties its own.
  COMMAND ${FLOCK_PROGRAM} ${console_dir}/package-lock.json ${NODE_PROGRAM} ${console_dir}/packages.mjs ${NPM_PROGRAM}
  COMMAND ${CMAKE_COMMAND} -E touch ${console_packages}
  DEPENDS ${console_dir}/package-lock.json ${console_dir}/packages.mjs
  COMMENT "Packages of the web console" VERBATIM)
add_custom_command(OUTPUT ${console_out}/console_assets.c
  COMMAND ${NODE_PROGRAM} ${console_dir}/build.mjs ${console_out}
  DEPENDS ${console_sources} ${console_dir}/build.mjs ${console_packages}
  COMMENT "Web console" VERBATIM)
# By itself too: whoever reads the list of commands wants all of its files to be there (scripts/lint).
add_custom_target(console DEPENDS ${console_out}/console_assets.c)
target_sources(of_web PRIVATE ${console_out}/console_assets.c)
add_dependencies(of_web console)
