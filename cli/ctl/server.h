#pragma once
/* What the commands that talk to a server share: ETags, paths, the server's words about a policy.
 */
#include "cli/ctl/remote.h"
#include "cli/ctl/report.h"

#define CTL_ACL "/api/v2/tailnet/-/acl"

/* The ETag that `get -o` left beside the file; "" when there is none. */
void ctl_etag_read(const char *path, char out[80]);
int ctl_etag_write(const struct ctl *c, const char *path, const char *etag) MUST_CHECK;
/* What a person or a file calls an ETag, as If-Match wants it: quoted, or *. */
void ctl_etag_header(const char *etag, char out[100]);

/* A revision is a number: nothing else gets into a path. 0, or CTL_USAGE after complaining. */
int ctl_read_rev(const struct ctl *c, const char *text, uint64_t *out) MUST_CHECK;
int ctl_ask(struct ctl_remote *r, const char *method, const char *path, struct ctl_answer *out)
    MUST_CHECK;

/* The diagnostics of a 400 or of validate, as `check` reports them. 0 when there are no errors,
 * else an exit code. */
int ctl_report_answer(const struct ctl *c, const struct ctl_source *src, const struct js *answer);
/* Any answer but the good one to a save of src. An exit code, after complaining. */
int ctl_refused_save(const struct ctl *c, const struct ctl_source *src, const struct ctl_answer *a);
/* The new ETag: the result of a save. */
int ctl_put_etag(const struct ctl *c, const struct ctl_answer *a) MUST_CHECK;
/* Devices that gain or lose attributes, for people. */
void ctl_put_effects(const struct ctl *c, const struct js *effects);
