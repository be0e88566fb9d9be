/* The agent's files, all 0600, each replaced atomically. Killed at any moment, the next start finds
 * whole ones. */
#include <errno.h>
#include <stdio.h>

#include "agent/agent.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"

enum { PEM_MAX = 16 * 1024, CHAIN_MAX = 64 * 1024, PATH_SIZE = 512 };

int state_write(const struct agent_state *s, const char *file, struct slice data)
{
    char path[PATH_SIZE];
    text_fit(path, sizeof path, "%s/%s", s->dir, file);
    return file_replace(path, 0600, data);
}

int state_read(const struct agent_state *s, const char *file, struct buf *out)
{
    char path[PATH_SIZE];
    text_fit(path, sizeof path, "%s/%s", s->dir, file);
    return file_read(path, out);
}

/* One file, made by `make` when it is not there. */
static int
open_or_make(struct agent_state *s, const char *file, struct buf *out, int (*make)(struct buf *))
{
    int rc = state_read(s, file, out);
    if (rc == FILE_MISSING) {
        rc = make(out);
        rc = rc ? rc : state_write(s, file, buf_slice(out));
    }
    return rc > 0 ? -EINVAL : rc;
}

static int open_transport(struct agent_state *s)
{
    int key = state_read(s, "transport.key", &s->key_pem),
        cert = state_read(s, "transport.crt", &s->cert_pem);
    if (key < 0 || cert < 0) {
        return key < 0 ? key : cert;
    }
    if (key || cert) {
        buf_clear(&s->key_pem);
        buf_clear(&s->cert_pem);
        int rc = tls_make_self_signed("funnel-node", &s->cert_pem, &s->key_pem);
        rc = rc ? rc : state_write(s, "transport.key", buf_slice(&s->key_pem));
        rc = rc ? rc : state_write(s, "transport.crt", buf_slice(&s->cert_pem));
        if (rc < 0) {
            return err_trace(rc);
        }
    }
    return tls_cert_spki(buf_slice(&s->cert_pem), s->transport_spki) ? 0 : -EINVAL;
}

static void take(const struct js *j, const char *name, char *out, size_t size)
{
    if (!slice_copy(js_get_str(j, name), out, size)) {
        out[0] = '\0';
    }
}

static int open_node(struct agent_state *s)
{
    struct buf text = BUF_MAX(64 * KIB);
    char why[200];
    int rc = state_read(s, "node.json", &text);
    AUTO(js_freep)
    struct js *j = rc == 0 ? js_parse(buf_slice(&text), 64 * KIB, why, sizeof why) : NULL;
    secret_wipe_buf(&text);
    if (!j) {
        return rc == FILE_MISSING ? 0 : rc < 0 ? rc : -EINVAL;
    }
    take(j, "control", s->control, sizeof s->control);
    take(j, "nodeId", s->node_id, sizeof s->node_id);
    take(j, "name", s->name, sizeof s->name);
    take(j, "user", s->user, sizeof s->user);
    take(j, "tailnet", s->tailnet, sizeof s->tailnet);
    take(j, "ipv4", s->ipv4, sizeof s->ipv4);
    take(j, "ipv6", s->ipv6, sizeof s->ipv6);
    s->down = js_get_bool(j, "down", false);
    buf_add(&s->token, js_get_str(j, "nodeToken"));
    return 0;
}

int state_save(struct agent_state *s)
{
    struct buf text = BUF_MAX(64 * KIB);
    AUTO(js_freep) struct js *j = js_object();
    js_set_cstr(j, "control", s->control);
    js_set_cstr(j, "nodeId", s->node_id);
    js_set_str(j, "nodeToken", buf_slice(&s->token));
    js_set_cstr(j, "name", s->name);
    js_set_cstr(j, "user", s->user);
    js_set_cstr(j, "tailnet", s->tailnet);
    js_set_cstr(j, "ipv4", s->ipv4);
    js_set_cstr(j, "ipv6", s->ipv6);
    js_set_bool(j, "down", s->down);
    js_write(j, JS_PRETTY, &text);
    int rc = state_write(s, "node.json", buf_slice(&text));
    secret_wipe_buf(&text);
    return rc < 0 ? err_trace(rc) : 0;
}

int state_save_chain(struct agent_state *s, struct slice chain)
{
    int rc = state_write(s, "chain.pem", chain);
    if (rc < 0) {
        return err_trace(rc);
    }
    buf_clear(&s->chain);
    buf_add(&s->chain, chain);
    return 0;
}

int state_forget(struct agent_state *s)
{
    buf_clear(&s->token);
    buf_clear(&s->chain);
    s->node_id[0] = s->name[0] = '\0';
    int rc = state_save(s);
    return rc < 0 ? rc : state_write(s, "chain.pem", S(""));
}

int state_open(struct agent_state *s, const char *dir, char *out_why, size_t why_size)
{
    *s = (struct agent_state){.dir = mem_strdup(dir)};
    buf_init(&s->token, 256);
    buf_init(&s->cert_pem, PEM_MAX);
    buf_init(&s->key_pem, PEM_MAX);
    buf_init(&s->leaf_key, PEM_MAX);
    buf_init(&s->chain, CHAIN_MAX);
    int rc = file_mkdirs(dir, 0700);
    rc = rc ? rc : open_transport(s);
    rc = rc ? rc : open_or_make(s, "leaf.key", &s->leaf_key, crypto_p256_keygen);
    rc = rc ? rc : open_node(s);
    if (!rc && state_read(s, "chain.pem", &s->chain) < 0) {
        rc = -EIO;
    }
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot use the state directory %s: %s", dir, err_words(rc));
        return err_trace(rc);
    }
    return 0;
}

void state_close(struct agent_state *s)
{
    secret_wipe_buf(&s->token);
    secret_wipe_buf(&s->key_pem);
    secret_wipe_buf(&s->leaf_key);
    buf_deinit(&s->cert_pem);
    buf_deinit(&s->chain);
    mem_free(s->dir);
}
