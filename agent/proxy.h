#pragma once
/*
 * One visitor's HTTP/1.1 connection, plaintext side: requests in, each to the backend on a
 * connection of its own, responses out. Streams both ways; what comes from outside in X-Forwarded-*
 * is never passed on.
 */
#include "lib/io/loop.h"
#include "lib/io/sock.h"

struct proxy;

struct proxy_ops {
    int (*send)(void *arg, struct slice plain); /* to the visitor: 0 or BUF_FULL (nothing taken) */
    bool (*full)(void *arg);                    /* the visitor's side holds enough for now */
    void (*want)(void *arg);                    /* input that was left may be offered again */
    void (*finish)(void *arg);                  /* nothing more will be sent; close when flushed */
    void (*abort)(void *arg); /* the response is cut off: the visitor must notice */
};

struct proxy_opts {
    struct addr backend;
    const char *name; /* the node's name: what Host must say */
    struct addr visitor;
};

struct proxy *
proxy_new(struct loop *lp, const struct proxy_opts *opts, const struct proxy_ops *ops, void *arg);
void proxy_free(struct proxy *p); /* takes NULL; no callback comes after */
size_t proxy_input(struct proxy *p,
                   struct slice plain); /* what was used; the rest is offered again after want() */
void proxy_eof(struct proxy *p);        /* the visitor sends no more */
void proxy_drained(struct proxy *p);    /* full() is false again */
