# migrations/*.sql become one C table (migrations.c in the build tree), in order of their numbers.
file(GLOB migration_sql CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/migrations/*.sql)
set(migrations_c ${CMAKE_BINARY_DIR}/generated/migrations.c)
add_custom_command(
  OUTPUT ${migrations_c}
  COMMAND ${CMAKE_SOURCE_DIR}/scripts/embed-migrations ${migrations_c} ${migration_sql}
  DEPENDS ${migration_sql} ${CMAKE_SOURCE_DIR}/scripts/embed-migrations
  VERBATIM)
add_library(of_migrations STATIC ${migrations_c})
target_include_directories(of_migrations PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(of_migrations PUBLIC of_data)
