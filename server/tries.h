#pragma once
/*
 * Guessing made slow (console-api.md section 5): per account and network (IPv4 /24, IPv6 /56) five
 * free tries, then waits that double up to 15 minutes; per address 30 tries a minute. Never a
 * permanent lock, and a success forgives. Bounded: when the table is full the oldest entries go.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/clock.h"
#include "lib/base/slice.h"
#include "lib/io/sock.h"

struct tries;

struct tries *tries_new(void);
void tries_free(struct tries *t); /* takes NULL */

enum tries_answer {
    TRIES_GO,
    TRIES_WAIT, /* *out_wait_s says how long */
};

/* Before the secret is looked at; counts against the address. */
enum tries_answer tries_ask(struct tries *t,
                            const struct addr *from,
                            struct slice account,
                            struct mono now,
                            int *out_wait_s);
/* How many failures in a row that makes; at TRIES_ALARM the caller tells somebody. */
unsigned
tries_failed(struct tries *t, const struct addr *from, struct slice account, struct mono now);
void tries_succeeded(struct tries *t, const struct addr *from, struct slice account);
/* Drops what has run out; once a minute. */
void tries_sweep(struct tries *t, struct mono now);
size_t tries_count(const struct tries *t);

enum {
    TRIES_FREE = 5,
    TRIES_WAIT_MOST_S = 900,
    TRIES_PER_MINUTE = 30,
    TRIES_KEPT = 10000, /* some 2 MiB; more addresses at once are an attack, not people */
    TRIES_ALARM = 10,
};
