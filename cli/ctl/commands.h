#pragma once
/* What each command does, by file. An exit code of ctl.h is returned; complaints have been made. */
#include "cli/ctl/ctl.h"

/* text.c: the syntax, whatever the document means */
int ctl_standardize(struct ctl *c);
int ctl_minimize(struct ctl *c);
int ctl_fmt(struct ctl *c);
int ctl_patch(struct ctl *c);

/* judge.c: what the policy means */
int ctl_check(struct ctl *c);
int ctl_eval(struct ctl *c);
int ctl_explain(struct ctl *c);

/* server_commands.c: the policy on a control server */
int ctl_get(struct ctl *c);
int ctl_set(struct ctl *c);
int ctl_test(struct ctl *c);
int ctl_diff(struct ctl *c);
int ctl_history(struct ctl *c);
int ctl_rollback(struct ctl *c);

/* edit.c: edits that keep the file a person wrote */
int ctl_edit_add_funnel(struct ctl *c);
int ctl_edit_remove_funnel(struct ctl *c);
int ctl_edit_add_to_group(struct ctl *c);
int ctl_edit_tag_owners(struct ctl *c);
