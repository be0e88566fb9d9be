/* The relay's files: identity (made once), token, last routes. Each is replaced atomically. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "relay/relay.h"

enum { PEM_MAX = 16 * 1024, ROUTES_FILE_MAX = 64 * 1024 * 1024, PATH_SIZE = 512, HEARD_MAX = 32 };

static void path_of(const struct relay_state *s, const char *file, char out[PATH_SIZE])
{
    text_fit(out, PATH_SIZE, "%s/%s", s->dir, file);
}

static int write_file(const struct relay_state *s, const char *file, struct slice data)
{
    char path[PATH_SIZE];
    path_of(s, file, path);
    return file_replace(path, 0600, data);
}

static int read_file(const struct relay_state *s, const char *file, struct buf *out)
{
    char path[PATH_SIZE];
    path_of(s, file, path);
    return file_read(path, out);
}

static int make_identity(struct relay_state *s, const char *host)
{
    int rc = tls_make_self_signed(host, &s->cert_pem, &s->key_pem);
    /* The key first: a certificate without its key would be used for ever. */
    rc = rc ? rc : write_file(s, "relay.key", buf_slice(&s->key_pem));
    return rc ? rc : write_file(s, "relay.crt", buf_slice(&s->cert_pem));
}

static int open_identity(struct relay_state *s, const char *host)
{
    int key = read_file(s, "relay.key", &s->key_pem),
        cert = read_file(s, "relay.crt", &s->cert_pem);
    if (key < 0 || cert < 0) {
        return key < 0 ? key : cert;
    }
    if (key == FILE_MISSING || cert == FILE_MISSING) {
        buf_clear(&s->key_pem);
        buf_clear(&s->cert_pem);
        return make_identity(s, host);
    }
    return key || cert ? -EINVAL : 0;
}

/* Tickets stay good over a restart, so that agents' sessions are cheap to take up again. */
static int open_ticket_key(struct relay_state *s)
{
    struct buf key = BUF_MAX(sizeof s->ticket_key);
    int rc = read_file(s, "ticket.key", &key);
    if (rc == FILE_MISSING || (rc == 0 && key.len != sizeof s->ticket_key)) {
        secret_random(s->ticket_key, sizeof s->ticket_key);
        rc = write_file(s, "ticket.key", slice_of(s->ticket_key, sizeof s->ticket_key));
    } else if (rc == 0) {
        memcpy(s->ticket_key, buf_slice(&key).p, sizeof s->ticket_key);
    }
    secret_wipe_buf(&key);
    return rc > 0 ? -EINVAL : rc;
}

int state_open(
    struct relay_state *s, const char *dir, const char *host, char *out_why, size_t why_size)
{
    *s = (struct relay_state){.dir = mem_strdup(dir)};
    buf_init(&s->cert_pem, PEM_MAX);
    buf_init(&s->key_pem, PEM_MAX);
    buf_init(&s->token, 256);
    int rc = file_mkdirs(dir, 0700);
    rc = rc ? rc : open_identity(s, host);
    rc = rc ? rc : open_ticket_key(s);
    if (!rc && read_file(s, "token", &s->token) < 0) {
        rc = -EIO;
    }
    if (!rc && !tls_cert_spki(buf_slice(&s->cert_pem), s->spki)) {
        rc = -EINVAL;
    }
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot use the state directory %s: %s", dir, err_words(rc));
        return err_trace(rc);
    }
    return 0;
}

void state_close(struct relay_state *s)
{
    buf_deinit(&s->cert_pem);
    secret_wipe_buf(&s->key_pem);
    secret_wipe_buf(&s->token);
    secret_wipe(s->ticket_key, sizeof s->ticket_key);
    mem_free(s->dir);
    s->dir = NULL;
}

int state_save_token(struct relay_state *s, struct slice token)
{
    int rc = write_file(s, "token", token);
    if (rc < 0) {
        return err_trace(rc);
    }
    buf_clear(&s->token);
    buf_add(&s->token, token);
    return 0;
}

int state_save_routes(struct relay_state *s, const struct routes *r)
{
    struct buf text = BUF_MAX(ROUTES_FILE_MAX);
    routes_write(r, &text);
    int rc = buf_ok(&text) ? write_file(s, "routes.json", buf_slice(&text)) : -EFBIG;
    buf_deinit(&text);
    return rc;
}

int state_save_heard(struct relay_state *s, struct wall heard)
{
    struct buf text = BUF_MAX(HEARD_MAX);
    buf_addf(&text, "%lld\n", (long long)heard.s);
    int rc = write_file(s, "heard", buf_slice(&text));
    buf_deinit(&text);
    return rc < 0 ? err_trace(rc) : 0;
}

/* The later of the two counts: routes.json is written when routes change, this one each minute. */
static void load_heard(const struct relay_state *s, struct routes *r)
{
    struct buf text = BUF_MAX(HEARD_MAX);
    uint64_t seconds;
    if (read_file(s, "heard", &text) == 0 &&
        slice_u64(slice_trim(buf_slice(&text)), INT64_MAX, &seconds) &&
        (int64_t)seconds > r->heard.s) {
        r->heard.s = (int64_t)seconds;
    }
    buf_deinit(&text);
}

void state_load_routes(struct relay_state *s, struct routes *r)
{
    struct buf text = BUF_MAX(ROUTES_FILE_MAX);
    char why[200];
    int rc = read_file(s, "routes.json", &text);
    if (rc == 0 && routes_apply(r, buf_slice(&text), why, sizeof why) == 0) {
        load_heard(s, r);
        log_info("routes.loaded", F_I64("version", r->version),
                 F_U64("routes", map_count(r->by_name)));
    } else if (rc != FILE_MISSING) {
        log_warn("routes.unreadable", F_STR("fix", "they come again from control"));
    }
    buf_deinit(&text);
}
