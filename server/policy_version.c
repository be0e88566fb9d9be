/* The file as it is stored and named: ingest, ETag, If-Match. */
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/data/crypto.h"
#include "lib/hujson/hujson.h"
#include "server/app.h"

struct policy_version *policy_version_ref(struct policy_version *v)
{
    __atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
    return v;
}

void policy_version_unref(struct policy_version *v)
{
    if (v && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        buf_deinit(&v->text);
        buf_deinit(&v->standard);
        mem_free(v);
    }
}

struct policy_version *policy_version_read(struct app *a, int64_t rev)
{
    struct policy_version *v = mem_new(sizeof *v);
    *v = (struct policy_version){
        .refs = 1, .text = BUF_MAX(2 * POLICY_SIZE_MAX), .standard = BUF_MAX(2 * POLICY_SIZE_MAX)};
    int rc = rev ? store_policy_version(a->db, a->tailnet.id, rev, &v->meta, &v->text)
                 : store_policy(a->db, a->tailnet.id, &v->meta, &v->text);
    if (rc) {
        policy_version_unref(v);
        return NULL;
    }
    return v;
}

void policy_version_standardize(struct policy_version *v)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    if (!v->standard.len && hujson_parse(buf_slice(&v->text), POLICY_SIZE_MAX, &diag, &doc) == 0) {
        hujson_standardize(doc, &v->standard);
    }
}

bool policy_version_untouched(const struct policy_version *v)
{
    return slice_eq(buf_slice(&v->text), slice_str(policy_default_text));
}

/* Formatting may widen a text: indentation and alignment of a member are bounded by its depth. */
enum { FORMATTED_MAX = 32 * POLICY_SIZE_MAX };

static void hash_hex(struct slice text, char out[65])
{
    uint8_t sum[CRYPTO_SHA256_SIZE];
    struct buf hex = BUF_MAX(64);
    crypto_sha256(text, sum);
    text_hex(&hex, slice_of(sum, sizeof sum));
    text_fit(out, 65, "%s", buf_cstr(&hex));
    buf_deinit(&hex);
}

/* False: it does not parse, or what it becomes is beyond all measure. */
static bool formatted(struct slice text, struct buf *out)
{
    struct hujson_diag diag;
    AUTO(hujson_freep) struct hujson_doc *doc = NULL;
    return hujson_parse(text, POLICY_SIZE_MAX, &diag, &doc) == 0 && hujson_format(doc, out) == 0;
}

void policy_etag(struct slice text, char out[65])
{
    struct buf form = BUF_MAX(FORMATTED_MAX);
    hash_hex(formatted(text, &form) ? buf_slice(&form) : text, out);
    buf_deinit(&form);
}

bool policy_ingest(struct slice text, struct buf *out)
{
    buf_clear(out);
    buf_add(out, text);
    if (text.n && text.p[text.n - 1] != '\n') {
        buf_addc(out, '\n');
    }
    return buf_ok(out) && out->len <= POLICY_SIZE_MAX;
}

void policy_reformat(struct buf *text)
{
    struct buf form = BUF_MAX(FORMATTED_MAX);
    if (formatted(buf_slice(text), &form) && form.len <= POLICY_SIZE_MAX) {
        buf_clear(text);
        buf_add(text, buf_slice(&form));
    }
    buf_deinit(&form);
}

enum policy_precondition policy_if_match(struct slice header, const char *etag, bool untouched)
{
    struct slice tag;
    if (!slice_trim(header).n) {
        return POLICY_IF_ABSENT;
    }
    while (slice_split(&header, ',', &tag)) {
        tag = slice_trim(tag);
        if (tag.n >= 2 && tag.p[0] == '"' && tag.p[tag.n - 1] == '"') {
            tag = slice_of(tag.p + 1, tag.n - 2);
        }
        if (slice_eq(tag, S("*")) || slice_eq(tag, slice_str(etag)) ||
            (untouched && slice_eq(tag, S("ts-default")))) {
            return POLICY_IF_HOLDS;
        }
    }
    return POLICY_IF_FAILS;
}
