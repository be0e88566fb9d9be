#pragma once
/*
 * Which passwords are refused: too short, or among those that are tried first. No rules of
 * composition. What everybody uses comes from a list of words (one a line), where the machine has
 * one; without it the other rules stand.
 */
#include "lib/base/slice.h"

/* Debian's cracklib-runtime brings it: words and real passwords, some 50,000. */
#define PASSWORD_WORDS_FILE "/usr/share/dict/cracklib-small"

/* NULL, or a sentence for whoever chose it. words: the list's text, or empty. */
const char *password_rules(struct slice words, struct slice password, const char *login);
/* The same with the machine's list. */
const char *password_fault(struct slice password, const char *login);
