/*
 * What is allowed and yet worth a word, once the file is whole (policy.md 2.7): definitions that
 * nothing uses, and what has no effect on the tailnet as it is today.
 */
#include "policy/load_priv.h"

void load_warn_unused(struct loader *l)
{
    (void)l;
}

void load_warn_today(struct loader *l)
{
    (void)l;
}
