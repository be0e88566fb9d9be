#pragma once
/*
 * Tags as requests name them: read, checked against tagOwners of the policy in force, kept as a
 * JSON array in order and without repeats. People with PERM_ANY_TAG may use every tag that the
 * policy defines; a token what it holds, or what its tags own.
 */
#include "server/app.h"
#include "server/store_keys.h"

#define TAGS_MAX 20

/* Borrows from what it was read from. */
struct tag_list {
    struct slice at[TAGS_MAX];
    size_t count;
};

/* A JSON array of strings; NULL and null are the empty list. False: not such an array. */
bool tags_read(const struct js *list, struct tag_list *out);
/* "tag:a,tag:b" or with blanks between them, as OAuth's form has them. */
bool tags_read_words(struct slice words, struct tag_list *out);
void tags_write(const struct tag_list *tags, struct buf *out);
struct js *tags_json(struct slice text); /* as kept; [] where it cannot be read */

/* Who wants to use them: a person, or (login empty) whoever holds tags. NULL, or the first tag that
 * may not be used and why. */
struct tagger {
    const struct store_user *user; /* NULL: nobody */
    const struct tag_list *held;   /* NULL: none */
};

bool tags_allowed(struct app *a,
                  const struct tag_list *tags,
                  const struct tagger *who,
                  char *out_why,
                  size_t why_size);
