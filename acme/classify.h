#pragma once
/* What became of a uacme run, from its exit and its words (acme-dns.md 4.3). */
#include "acme/acme.h"

enum acme_class acme_classify(int exit_code, bool timed_out, struct slice err_text);
/* The last line that uacme wrote, without its prefix: for people. */
struct slice acme_last_words(struct slice err_text);
