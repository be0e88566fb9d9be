#pragma once
/* What ask.c and ask_target.c share: the asker from inside. */
#include "lib/base/map.h"
#include "policy/ask_priv.h"

/* An item that may be about both sides of a question. */
struct found_item {
    uint32_t item;
    bool plain; /* it is, for somebody on each side, whoever comes */
};

struct asker {
    const struct policy_reach *r;
    const struct rule_book *book;
    struct mono deadline;

    /* Marked: equal to mark, which only grows, so that nothing has to be wiped; until the deadline
     * there is no time to count to its end. */
    uint32_t mark, *term_marks, *rule_marks;
    struct found_item *found;
    size_t found_count;

    struct arena *arena;                /* targets */
    struct map *sources, *destinations; /* by selector, as written */
    uint32_t *hosts; /* 1 + device, by address; made when the first address is asked for */
    size_t host_slots;
    uint32_t *users; /* of the target in the making; each once */
    size_t user_count;
    const struct reach_point **points; /* its points */
    size_t point_count;
    bool no_memory; /* for it */
};

/* All terms and rules unmarked. */
void asker_fresh(struct asker *a);
