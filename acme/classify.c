/* The words are matched from the most to the least specific; what matches nothing is a bug until
 * somebody looks. */
#include "acme/classify.h"

struct rule {
    const char *words;
    enum acme_class class;
};

static const struct rule rules[] = {
    {"rateLimited",                    ACME_LIMITED  },
    {"failed to parse challenge",      ACME_RETRY_NOW},
    {"badNonce",                       ACME_NET      },
    {"serverInternal",                 ACME_NET      },
    {"curl_easy_perform",              ACME_NET      },
    {"Couldn't connect",               ACME_NET      },
    {"Could not resolve",              ACME_NET      },
    {"Timeout was reached",            ACME_NET      },
    {"failed to fetch",                ACME_NET      },
    {"rejectedIdentifier",             ACME_AUTH     },
    {"urn:ietf:params:acme:error:caa", ACME_AUTH     },
    {"unauthorized",                   ACME_AUTH     },
    {"urn:ietf:params:acme:error:dns", ACME_AUTH     },
    {"no challenge completed",         ACME_DNS      },
};

static bool contains(struct slice text, struct slice words)
{
    for (size_t i = 0; i + words.n <= text.n; i++) {
        if (memcmp(text.p + i, words.p, words.n) == 0) {
            return true;
        }
    }
    return false;
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
        if (contains(err_text, slice_str(rules[i].words))) {
            return rules[i].class;
        }
    }
    return ACME_BUG;
}

struct slice acme_last_words(struct slice err_text)
{
    struct slice text = slice_trim(err_text);
    ptrdiff_t lf = slice_rfind(text, '\n');
    struct slice last = lf < 0 ? text : slice_skip(text, (size_t)lf + 1);
    return slice_starts(last, S("uacme: ")) ? slice_skip(last, 7) : last;
}

const char *acme_class_name(enum acme_class c)
{
    static const char *const names[] = {"ok",           "network", "dns", "authorization",
                                        "rate limited", "retry",   "bug"};
    return names[c];
}
