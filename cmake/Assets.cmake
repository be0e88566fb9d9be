# Files of web/static/ become part of the program: one assembler line each, and a table of names.
file(GLOB web_static CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/static/*)
set(web_rows)
set(web_asm)
foreach(file ${web_static})
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER ${name} id)
  string(APPEND web_asm "__asm__(\".section .rodata\\n.globl web_${id}\\n.hidden web_${id}\\nweb_${id}:\\n.incbin \\\"${file}\\\"\\n\"\n"
    "        \".globl web_${id}_end\\n.hidden web_${id}_end\\nweb_${id}_end:\\n.byte 0\\n.previous\");\n"
    "extern const char web_${id}[], web_${id}_end[];\n")
  string(APPEND web_rows "    {\"${name}\", web_${id}, web_${id}_end},\n")
endforeach()
set(web_assets_c ${CMAKE_BINARY_DIR}/generated/web_assets.c)
file(CONFIGURE OUTPUT ${web_assets_c} @ONLY CONTENT "/* Made by cmake/Assets.cmake from web/static/; do not edit. */
#include \"web/assets.h\"
${web_asm}
const struct web_asset web_assets[] = {
${web_rows}};
const size_t web_asset_count = sizeof(web_assets) / sizeof(web_assets[0]);
")
set_source_files_properties(${web_assets_c} PROPERTIES OBJECT_DEPENDS "${web_static}")
target_sources(of_web PRIVATE ${web_assets_c})
