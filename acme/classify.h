#pragma once
/* What became of a uacme run, from its exit and its words (acme-dns.md 4.3). */
#include "acme/acme.h"

enum acme_class acme_classify(int exit_code, bool timed_out, struct slice err_text);
/* The last line that uacme wrote, without its prefix: for people. */
struct slice acme_last_words(struct slice err_text);
/* When a limit ends: the date in the CA's words when it is believable, else three hours from now.
 */
struct wall acme_limited_until(struct slice err_text, struct wall now);
/* The CA does not know the account of our key (it lost its state, or the URL is another's). */
bool acme_account_lost(struct slice err_text);
