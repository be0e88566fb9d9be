/* The policy of a new tailnet: nothing is granted, and the file says how to grant it. */
#include "policy/policy.h"

const char policy_default_text[] =
    "// The policy file of this tailnet (HuJSON: JSON with comments and trailing commas).\n"
    "{\n"
    "\t// Attributes of devices. \"funnel\" lets a device publish services to the whole internet.\n"
    "\t// A request from `funnel` shows an entry like this one for approval:\n"
    "\t//\n"
    "\t//\t{\"target\": [\"autogroup:member\"], \"attr\": [\"funnel\"]},\n"
    "\t\"nodeAttrs\": [\n"
    "\t],\n"
    "}\n";
