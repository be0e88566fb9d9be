/*
 * uacme tells an exit code of 2 and sentences. The sentences are its own and,
 * after "the server reported the following error:", the CA's problem document.
 * Rules go from the most to the least specific; what matches nothing is a bug
 * until somebody looks.
 */
#include "acme/classify.h"

#include "lib/base/text.h"

#include <stdio.h>

enum {
    LIMITED_S = 3 * 3600,          /* when the CA does not say until when */
    LIMITED_MAX_S = 8 * 24 * 3600, /* its longest limit is seven days; more is a misreading */
};

struct rule {
    const char *words;
    enum acme_class class;
};

static const char account_lost[] = "Consider trying 'new'";
static const char reported[] = "the server reported the following error";

static const struct rule rules[] = {
    {"urn:ietf:params:acme:error:rateLimited", ACME_LIMITED},
    {"failed to parse challenge", ACME_RETRY_NOW}, /* trap T10 */
    {"urn:ietf:params:acme:error:badNonce", ACME_NET},
    {"urn:ietf:params:acme:error:serverInternal", ACME_NET},
    {account_lost, ACME_NET}, /* made anew meanwhile */
    {"urn:ietf:params:acme:error:rejectedIdentifier", ACME_AUTH},
    {"urn:ietf:params:acme:error:caa", ACME_AUTH},
    {"urn:ietf:params:acme:error:unauthorized", ACME_AUTH},
    {"urn:ietf:params:acme:error:dns", ACME_AUTH},
    {"failed with status invalid", ACME_AUTH}, /* a challenge, whatever its error */
    {"no challenge completed", ACME_DNS},      /* our hook declined them all */
    {"curl_get: GET ", ACME_NET},
    {"curl_post: POST ", ACME_NET},
    {"failed to fetch directory", ACME_NET},
    {"failed to fetch new nonce", ACME_NET},
    {"timeout, giving up", ACME_NET},
};

/* -1 when not there. */
static ptrdiff_t find(struct slice text, struct slice words)
{
    for (size_t i = 0; i + words.n <= text.n; i++) {
        if (memcmp(text.p + i, words.p, words.n) == 0) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

static bool contains(struct slice text, const char *words)
{
    return find(text, slice_str(words)) >= 0;
}

enum acme_class acme_classify(int exit_code, bool timed_out, struct slice err_text)
{
    if (timed_out) {
        return ACME_NET;
    }
    if (exit_code == 0) {
        return ACME_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (contains(err_text, rules[i].words)) {
            return rules[i].class;
        }
    }
    /* "failed to create new order at URL" and no problem document after it: a 5xx or a proxy's
     * page. */
    return contains(err_text, " at https://") && !contains(err_text, reported) ? ACME_NET
                                                                               : ACME_BUG;
}

struct slice acme_last_words(struct slice err_text)
{
    struct slice text = slice_trim(err_text);
    /* The problem document is many lines: its detail says it best. */
    ptrdiff_t at = find(text, S("\"detail\": \""));
    if (at >= 0) {
        struct slice rest = slice_skip(text, (size_t)at + 11), line, detail;
        if (slice_split(&rest, '\n', &line) && slice_split(&line, '"', &detail) && detail.n) {
            return detail;
        }
    }
    ptrdiff_t lf = slice_rfind(text, '\n');
    struct slice last = lf < 0 ? text : slice_skip(text, (size_t)lf + 1);
    return slice_starts(last, S("uacme: ")) ? slice_skip(last, 7) : last;
}

/* "… retry after 2026-11-24 15:00:00 UTC: see …" or "… retry after 2026-11-24T15:00:00Z: see …" */
struct wall acme_limited_until(struct slice err_text, struct wall now)
{
    static const struct slice words = {"retry after ", 12};
    char text[WALL_TEXT_SIZE];
    struct wall until = {0};
    ptrdiff_t at = find(err_text, words);
    struct slice date = at < 0 ? S("") : slice_sub(err_text, (size_t)at + words.n, 19);
    if (date.n == 19 && (date.p[10] == ' ' || date.p[10] == 'T')) {
        text_cut(text, sizeof text, "%.10sT%.8sZ", date.p, date.p + 11);
        if (wall_parse(slice_str(text), &until) && until.s > now.s &&
            until.s <= now.s + LIMITED_MAX_S) {
            return until;
        }
    }
    return (struct wall){now.s + LIMITED_S};
}

bool acme_account_lost(struct slice err_text)
{
    return contains(err_text, account_lost);
}

const char *acme_class_name(enum acme_class c)
{
    static const char *const names[] = {"ok",           "network", "dns", "authorization",
                                        "rate limited", "retry",   "bug"};
    return names[c];
}
