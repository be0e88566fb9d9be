#pragma once
/*
 * Settings of the tailnet that Tailscale's API names (console-api.md 3.2, "Settings T"), beside
 * those of the policy and HTTPS (api_settings.c): a name, a kind, what holds where nothing is
 * stored. Kept as JSON texts (migrations/0005).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/data/json.h"
#include "server/roles.h"

struct app;

bool setting_on(struct app *a, const char *name); /* "devicesApprovalOn" */
int64_t setting_number(struct app *a, const char *name);

/* All of them, into an answer. */
void settings_put(struct app *a, struct js *answer);
/* A PATCH: null and absent are "unchanged". NULL, or what is wrong with it. */
const char *settings_fault(const struct js *patch);
/* The first permission that the patch needs and this role lacks, or PERM_NONE. */
enum permission settings_lacking(struct app *a, const struct js *patch, enum policy_role role);
/* Stores what differs, in the caller's transaction. */
int settings_store(struct app *a, const struct js *patch) MUST_CHECK;
