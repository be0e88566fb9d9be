#pragma once
/* Intrusive doubly linked list. An unlinked node points at itself; unlink is idempotent. */
#include <stdbool.h>

#include "lib/base/macros.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l || !l->next;
}

static inline void list_insert_before(struct list *at, struct list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void list_push_back(struct list *head, struct list *n)
{
    list_insert_before(head, n);
}

static inline void list_push_front(struct list *head, struct list *n)
{
    list_insert_before(head->next, n);
}

static inline void list_unlink(struct list *n)
{
    if (!n->next) {
        return;
    }
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

static inline struct list *list_first(struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

/* Every node of `from`, in order, moves to the end of `to`. */
static inline void list_move_all(struct list *from, struct list *to)
{
    for (struct list *l; (l = list_first(from));) {
        list_unlink(l);
        list_push_back(to, l);
    }
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
/* Safe against unlinking the current node. */
/* NOLINTBEGIN(bugprone-macro-parentheses): `it` is a name that the macro declares */
#define LIST_FOREACH(it, head)                                                \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */
