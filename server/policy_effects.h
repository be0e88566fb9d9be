#pragma once
/* What a policy would change (policy.md 6.6): devices that gain or lose each attribute, funnel
 * first. Runs in the pool. */
#include "lib/data/json.h"
#include "policy/eval.h"
#include "server/store.h"

/* {"devices":2,"attributes":[{"name","gains","losses","changes","gaining":[…],"losing":[…]}]}.
 * names: where devices' stable ids are looked up. */
struct js *policy_effects_json(struct policy_snapshot *before,
                               struct policy_snapshot *after,
                               struct db *names);
