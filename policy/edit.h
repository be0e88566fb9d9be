#pragma once
/*
 * Edits of the file a person wrote (policy.md 1.11): by patch and format where the stored text
 * equals its own formatted form, else by a splice that keeps every byte it does not have to change.
 * "Unchanged" when there is nothing to do. What was written is loaded again before it is handed
 * out.
 */
#include "lib/base/buf.h"
#include "policy/policy.h"

enum policy_edit_result { POLICY_UNCHANGED, POLICY_SPLICED, POLICY_CHANGED, POLICY_REFUSED };

/* Ports that an entry names; count 0: the tailnet's default list. */
struct policy_ports {
    const struct slice *at;
    size_t count;
};

const char *policy_edit_result_name(enum policy_edit_result r); /* "changed", … */

/* What stands in an entry that lets members funnel (policy.md 1.11). */
extern const char policy_funnel_comment[];

/* selector: "autogroup:member", "*", a login, "tag:x", "group:x" or an address. comment: may be
 * empty: then the text of policy_funnel_comment for autogroup:member, none for others. On
 * POLICY_REFUSED out_diags says why; out_text always holds a whole file (the old one then). */
enum policy_edit_result policy_add_funnel(struct slice text,
                                          struct slice selector,
                                          struct slice comment,
                                          struct buf *out_text,
                                          struct policy_diags *out_diags);
/* The same for these ports alone ("443", "8000-8010"); an entry that names others does not count as
 * there. */
enum policy_edit_result policy_add_funnel_ports(struct slice text,
                                                struct slice selector,
                                                struct slice comment,
                                                const struct policy_ports *ports,
                                                struct buf *out_text,
                                                struct policy_diags *out_diags);
/* Takes funnel from every entry that grants it to the selector; other targets of such an entry
 * keep it; an entry left without effect goes with its owned comments. */
enum policy_edit_result policy_remove_funnel(struct slice text,
                                             struct slice selector,
                                             struct buf *out_text,
                                             struct policy_diags *out_diags);
/* Makes the group where it is not there. */
enum policy_edit_result policy_add_to_group(struct slice text,
                                            struct slice group,
                                            struct slice login,
                                            struct buf *out_text,
                                            struct policy_diags *out_diags);
/* The owners of a tag become exactly these; declares the tag where it is not. */
enum policy_edit_result policy_set_tag_owners(struct slice text,
                                              struct slice tag,
                                              const struct slice *owners,
                                              size_t owner_count,
                                              struct buf *out_text,
                                              struct policy_diags *out_diags);
