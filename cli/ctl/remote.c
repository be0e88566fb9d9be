/* Where the server is, who we are there, one request after the other. */
#include "cli/ctl/remote.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ctl/report.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/fetch/fetch.h"
#include "lib/hujson/conf.h"

#define ANSWER_MAX (16 * MIB) /* a history page with long messages, a policy as base64 */

struct remote_config {
    char *server, *key, *ca_file;
};

#define AT(field) offsetof(struct remote_config, field)

/* clang-format off */
static const struct conf_option options[] = {
    {.key = "server", .kind = CONF_STR, .offset = AT(server), .fallback = "",
     .help = "https://control.example.net"},
    {.key = "key", .kind = CONF_STR, .offset = AT(key), .fallback = "",
     .help = "file:PATH of an API key"},
    {.key = "caFile", .kind = CONF_STR, .offset = AT(ca_file), .fallback = "",
     .help = "CA certificates for the server; empty: the system's"},
};

/* clang-format on */

struct ctl_remote {
    const struct ctl *c;
    struct remote_config config;
    struct buf key;
    struct loop *loop;
    struct fetcher *fetcher;
    struct ctl_answer *answer; /* of the request that runs */
    int rc;
};

/* ---- settings ---- */

/* The i-th place where a configuration may stand; false when it has no name. */
static bool config_path(size_t i, char out[PATH_MAX])
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    const char *base = i ? "/etc" : xdg && *xdg ? xdg : home && *home ? home : NULL;
    if (!base || strlen(base) > PATH_MAX / 2) {
        return false;
    }
    text_fit(out, PATH_MAX, "%s%s/openfunnel/funnelctl.hujson", base,
             base == home ? "/.config" : "");
    return true;
}

static int read_config(const struct ctl *c, struct remote_config *out)
{
    struct conf_diag diag;
    int rc = CONF_MISSING_FILE;
    for (size_t i = 0; rc == CONF_MISSING_FILE && i < 2; i++) {
        char path[PATH_MAX], why[PATH_MAX + 400];
        rc = config_path(i, path) ? conf_load(path, options, ARRAY_LEN(options), out, &diag)
                                  : CONF_MISSING_FILE;
        if (rc && rc != CONF_MISSING_FILE) {
            text_cut(why, sizeof why, "%s: line %d, column %d: %s", path, diag.line, diag.column,
                     rc > 0 ? diag.text : err_words(rc));
            return ctl_complain(c, CTL_USAGE, "the configuration cannot be used", why,
                                "mend the file, or set --server and --key");
        }
    }
    return rc && conf_parse(S("{}\n"), options, ARRAY_LEN(options), out, &diag) ? CTL_USAGE : 0;
}

/* Option, then environment, then file; NULL when none says anything. */
static const char *setting(const char *option, const char *env, const char *file)
{
    const char *value = getenv(env);
    if (option) {
        return option;
    }
    return value && *value ? value : *file ? file : NULL;
}

static int read_key(struct ctl_remote *r)
{
    const char *option = r->c->args.key, *env = getenv("FUNNELCTL_KEY");
    const char *ref = setting(option, "FUNNELCTL_KEY", r->config.key);
    char why[200];
    if (!ref) {
        return ctl_complain(r->c, CTL_DENIED, "no key to show to the server",
                            "--key, FUNNELCTL_KEY and the configuration name none",
                            "funnelctl … --key file:PATH; funnel-control key create api makes one");
    }
    int rc = secret_read_ref(slice_str(ref), &r->key);
    if (rc == SECRET_INLINE && ref == env) { /* what CI systems put into the environment */
        buf_init(&r->key, 4 * KIB);
        buf_adds(&r->key, env);
        rc = 0;
    }
    if (rc == SECRET_INLINE) {
        return ctl_complain(r->c, CTL_USAGE, "a key does not stand on the command line",
                            "others on this machine could read it there",
                            "--key file:PATH, or FUNNELCTL_KEY in the environment");
    }
    text_cut(why, sizeof why, "%s: %s", ref, err_words(rc));
    return rc ? ctl_complain(r->c, CTL_DENIED, "the key cannot be read", why,
                             "check the path and its permissions")
              : 0;
}

static int check_server(const struct ctl_remote *r, const char *server)
{
    if (!server) {
        return ctl_complain(r->c, CTL_USAGE, "no server to talk to",
                            "--server, FUNNELCTL_SERVER and the configuration name none",
                            "funnelctl … --server https://control.example.net");
    }
    if (!slice_starts(slice_str(server), S("https://")) &&
        !slice_starts(slice_str(server), S("http://"))) {
        return ctl_complain(r->c, CTL_USAGE, "this is no address of a server", server,
                            "--server https://control.example.net");
    }
    return 0;
}

int ctl_remote_open(struct ctl *c, struct ctl_remote **out_remote)
{
    AUTO(ctl_remote_closep) struct ctl_remote *r = mem_new(sizeof *r);
    r->c = c;
    int rc = read_config(c, &r->config);
    if (rc) {
        return rc;
    }
    const char *server = setting(c->args.server, "FUNNELCTL_SERVER", r->config.server);
    const char *ca = setting(c->args.ca_file, "FUNNELCTL_CA_FILE", r->config.ca_file);
    rc = check_server(r, server);
    rc = rc ? rc : read_key(r);
    if (rc) {
        return rc;
    }
    size_t n = strlen(server);
    char *base = mem_strndup(server, n && server[n - 1] == '/' ? n - 1 : n);
    mem_free(r->config.server);
    r->config.server = base;
    r->loop = loop_new();
    r->fetcher = fetcher_new(r->loop, ca, "funnelctl/0.1.0");
    *out_remote = STEAL(r);
    return 0;
}

void ctl_remote_close(struct ctl_remote *r)
{
    if (r) {
        if (r->fetcher) {
            fetcher_free(r->fetcher);
            loop_free(r->loop);
        }
        secret_wipe_buf(&r->key);
        conf_free(options, ARRAY_LEN(options), &r->config);
        mem_free(r);
    }
}

const char *ctl_remote_url(const struct ctl_remote *r)
{
    return r->config.server;
}

const struct ctl *ctl_remote_ctl(const struct ctl_remote *r)
{
    return r->c;
}

/* ---- one request ---- */

static const char *fix_for(int err, const char *why)
{
    if (err == -ENOENT || err == -ECONNREFUSED || err == -ETIMEDOUT) {
        return "check --server and the network; is funnel-control running?";
    }
    return strstr(why, "certificate") ? "--ca-file PATH where the server has a private CA"
                                      : "check --server";
}

static void on_done(void *arg, const struct fetch_result *res)
{
    struct ctl_remote *r = arg;
    char what[300];
    if (res->err) {
        text_cut(what, sizeof what, "cannot reach %s", r->config.server);
        r->rc = ctl_complain(r->c, CTL_UNREACHABLE, what, res->why, fix_for(res->err, res->why));
    } else {
        struct slice etag = slice_trim(slice_str(res->etag));
        bool quoted = etag.n >= 2 && etag.p[0] == '"' && etag.p[etag.n - 1] == '"';
        etag = quoted ? slice_sub(etag, 1, etag.n - 2) : S("");
        r->answer->status = res->status;
        buf_add(&r->answer->body, res->body);
        err_ignore(!slice_copy(etag, r->answer->etag, sizeof r->answer->etag));
    }
    loop_stop(r->loop);
}

int ctl_remote_ask(struct ctl_remote *r,
                   const struct ctl_request *rq,
                   struct ctl_answer *out_answer)
{
    struct buf url = BUF_MAX(4 * KIB);
    char match[128];
    const char *headers[] = {rq->json ? "Content-Type: application/json"
                                      : "Content-Type: application/hujson",
                             NULL, NULL};
    *out_answer = (struct ctl_answer){.body = BUF_MAX(ANSWER_MAX)};
    buf_addf(&url, "%s%s", r->config.server, rq->path);
    if (rq->if_match && *rq->if_match) {
        text_fit(match, sizeof match, "If-Match: %.100s", rq->if_match);
        headers[1] = match;
    }
    r->answer = out_answer;
    r->rc = 0;
    struct fetch_opts opts = {.method = rq->method,
                              .url = buf_cstr(&url),
                              .headers = headers,
                              .bearer = buf_slice(&r->key),
                              .body = rq->body,
                              .max = ANSWER_MAX};
    fetch_start(r->fetcher, &opts, on_done, r);
    int rc = loop_run(r->loop);
    buf_deinit(&url);
    return rc < 0 ? ctl_complain(r->c, CTL_REFUSED, "cannot wait for the answer", err_words(rc),
                                 "try again")
                  : r->rc;
}

void ctl_answer_deinit(struct ctl_answer *a)
{
    buf_deinit(&a->body);
}

struct js *ctl_answer_json(const struct ctl *c, const struct ctl_answer *a)
{
    char why[200];
    struct js *j = js_parse(buf_slice(&a->body), ANSWER_MAX, why, sizeof why);
    if (!j) {
        ctl_complain(c, CTL_PROTOCOL, "the server's answer is not understood", why,
                     "is --server a funnel-control, of this version?");
    }
    return j;
}

static int code_of(long status)
{
    if (status == 401 || status == 403) {
        return CTL_DENIED;
    }
    if (status >= 500) {
        return CTL_UNREACHABLE;
    }
    return status == 400 || status == 404 || status == 409 || status == 412 || status == 413 ||
                   status == 428 || status == 429
               ? CTL_REFUSED
               : CTL_PROTOCOL;
}

int ctl_answer_complain(const struct ctl *c, const char *what, const struct ctl_answer *a)
{
    char why[256], message[400], fix[400], ignored[200];
    AUTO(js_freep)
    struct js *j = js_parse(buf_slice(&a->body), ANSWER_MAX, ignored, sizeof ignored);
    struct slice text = js_get_str(j, "message"), hint = js_get_str(j, "fix");
    int code = j && text.n ? code_of(a->status) : CTL_PROTOCOL;
    if (c->args.json && j) {
        err_ignore(ctl_put_json(c, j));
        return code;
    }
    text_cut(why, sizeof why, "the server answered %ld without saying why", a->status);
    text_cut(message, sizeof message, SLICE_FMT, SLICE_ARG(text));
    text_cut(fix, sizeof fix, SLICE_FMT, SLICE_ARG(hint));
    return ctl_complain(c, code, what, *message ? message : why,
                        *fix ? fix : "is --server a funnel-control, of this version?");
}
