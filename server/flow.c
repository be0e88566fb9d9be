/* A map from cookie to flow; the cookie's value is the key itself, which lives minutes in memory.
 */
#include "server/flow.h"

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"

#define COOKIE "__Host-flow"

enum { KEY_CHARS = 32 };

struct flows {
    struct map *by_key;
};

struct flows *flows_new(void)
{
    struct flows *f = mem_new(sizeof *f);
    f->by_key = map_new();
    return f;
}

void flows_free(struct flows *f)
{
    if (f) {
        map_free_values(f->by_key);
        mem_free(f);
    }
}

size_t flows_count(const struct flows *f)
{
    return map_count(f->by_key);
}

void flows_sweep(struct flows *f, struct mono now)
{
    struct map *kept = map_new();
    struct map_iter it = {0};
    struct slice key;
    void *value;
    while (map_next(f->by_key, &it, &key, &value)) {
        struct flow *flow = value;
        if (mono_reached(now, flow->until)) {
            secret_wipe(flow, sizeof *flow);
            mem_free(flow);
        } else {
            map_set(kept, key, flow);
        }
    }
    map_free(f->by_key);
    f->by_key = kept;
}

static void drop_oldest(struct flows *f)
{
    struct map_iter it = {0};
    struct slice key, oldest = S("");
    void *value;
    int64_t first = INT64_MAX;
    while (map_next(f->by_key, &it, &key, &value)) {
        const struct flow *flow = value;
        if (flow->until.ns < first) {
            first = flow->until.ns;
            oldest = key;
        }
    }
    char copy[KEY_CHARS + 1];
    if (slice_copy(oldest, copy, sizeof copy)) {
        mem_free(map_del(f->by_key, slice_str(copy)));
    }
}

struct flow *flow_find(struct flows *f, const struct http_rq *rq)
{
    struct slice key = http_rq_cookie(rq, COOKIE);
    struct flow *flow = key.n == KEY_CHARS ? map_get(f->by_key, key) : NULL;
    return flow && !mono_reached(mono_now(), flow->until) ? flow : NULL;
}

static void set_cookie(struct http_rq *rq, const char *value, int age)
{
    char cookie[160];
    text_fit(cookie, sizeof cookie,
             COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d", value, age);
    http_rq_add_header(rq, "Set-Cookie", cookie);
}

struct flow *flow_begin(struct flows *f, struct http_rq *rq, enum flow_kind kind)
{
    struct flow *flow = flow_find(f, rq);
    if (!flow) {
        char key[KEY_CHARS + 1];
        if (map_count(f->by_key) >= FLOWS_MAX) {
            flows_sweep(f, mono_now());
        }
        if (map_count(f->by_key) >= FLOWS_MAX) {
            drop_oldest(f);
        }
        secret_id(key, KEY_CHARS);
        flow = mem_new(sizeof *flow);
        map_set(f->by_key, slice_str(key), flow);
        set_cookie(rq, key, FLOW_S);
    }
    char next[FLOW_NEXT_SIZE];
    memcpy(next, flow->next, sizeof next);
    *flow = (struct flow){.kind = kind, .until = mono_after(mono_now(), SECONDS(FLOW_S))};
    memcpy(flow->next, next, sizeof next);
    return flow;
}

void flow_end(struct flows *f, struct http_rq *rq)
{
    struct slice key = http_rq_cookie(rq, COOKIE);
    if (key.n == KEY_CHARS) {
        mem_free(map_del(f->by_key, key));
        set_cookie(rq, "", 0);
    }
}

/* "/f/<id>", "/a/<id>" and the console's own pages; no "//", no scheme, nothing to escape. */
bool flow_next_ok(struct slice path)
{
    if (path.n < 1 || path.n >= FLOW_NEXT_SIZE || path.p[0] != '/' || slice_starts(path, S("//"))) {
        return false;
    }
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '/' || c == '-' || c == '_';
        if (!plain) {
            return false;
        }
    }
    return true;
}
