#pragma once
/*
 * Postures (policy.md 2.6): which of them hold for a device with these attributes. This server
 * knows no attributes of its own; a test brings them (srcPostureAttrs).
 */
#include "policy/model.h"

/* attrs: an object of strings, numbers and booleans in doc. Writes holds[p->posture_count]. */
void policy_postures_hold(const struct policy *p,
                          const struct hujson_doc *doc,
                          const struct hujson_node *attrs,
                          bool *holds);
