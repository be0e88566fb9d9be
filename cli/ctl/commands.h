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

/* nodes.c */
int ctl_nodes_list(struct ctl *c);
int ctl_nodes_show(struct ctl *c);
int ctl_nodes_approve(struct ctl *c);
int ctl_nodes_rename(struct ctl *c);
int ctl_nodes_tag(struct ctl *c);
int ctl_nodes_expire(struct ctl *c);
int ctl_nodes_delete(struct ctl *c);

/* people.c */
int ctl_users_list(struct ctl *c);
int ctl_users_show(struct ctl *c);
int ctl_users_role(struct ctl *c);
int ctl_users_approve(struct ctl *c);
int ctl_users_suspend(struct ctl *c);
int ctl_users_restore(struct ctl *c);
int ctl_users_delete(struct ctl *c);
int ctl_invite(struct ctl *c);
int ctl_invites_list(struct ctl *c);
int ctl_invites_delete(struct ctl *c);

/* keys.c */
int ctl_keys_list(struct ctl *c);
int ctl_keys_show(struct ctl *c);
int ctl_keys_create(struct ctl *c);
int ctl_keys_revoke(struct ctl *c);

/* public.c: what is public, and who asks to be */
int ctl_funnels_list(struct ctl *c);
int ctl_funnels_show(struct ctl *c);
int ctl_funnels_probe(struct ctl *c);
int ctl_funnels_off(struct ctl *c);
int ctl_requests_list(struct ctl *c);
int ctl_requests_show(struct ctl *c);
int ctl_requests_approve(struct ctl *c);
int ctl_requests_deny(struct ctl *c);
int ctl_kill_switch(struct ctl *c);

/* record.c */
int ctl_status(struct ctl *c);
int ctl_whoami(struct ctl *c);
int ctl_audit(struct ctl *c);
int ctl_webhooks_list(struct ctl *c);
int ctl_webhooks_create(struct ctl *c);
int ctl_webhooks_test(struct ctl *c);
int ctl_webhooks_delete(struct ctl *c);

/* local.c: on the server's own machine */
int ctl_setup_link(struct ctl *c);
int ctl_reset_login(struct ctl *c);
