#pragma once
/* The pages' style and script, served from memory. */
extern const char web_style_css[];
extern const char web_setup_js[];
