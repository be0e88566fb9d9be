/* Passwords that are tried first. */
#include "server/password_rules.h"

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

enum {
    LEAST = 12,
    MOST = 256,
    UNIT_MOST = 4,   /* "abcdabcdabcd" */
    BREAKS_MOST = 2, /* in a sequence: "qwertyuiop12" */
    REST_LEAST = 8,  /* beside names that anybody knows */
    NAME_LEAST = 3,
    WORDS_MAX = 4 * 1024 * 1024,
};

static const char guessed[] = "This password is one of the first that anybody would guess. Take "
                              "another: four words that have nothing to do with each other.";

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool letter(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- one thing again and again, or what lies side by side ---- */

static bool repeats(struct slice s)
{
    for (size_t unit = 1; unit <= UNIT_MOST; unit++) {
        size_t i = unit;
        while (i < s.n && s.p[i] == s.p[i - unit]) {
            i++;
        }
        if (i >= s.n) {
            return true;
        }
    }
    return false;
}

static bool side_by_side(char a, char b)
{
    static const char *const rows[] = {"qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm",
                                       "1234567890"};
    bool both = (letter(a) && letter(b)) || (digit(a) && digit(b));
    if (a == b || (both && (a == b + 1 || a + 1 == b))) {
        return true;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = a ? strchr(rows[i], a) : NULL;
        if (at && b && (at[1] == b || (at > rows[i] && at[-1] == b))) {
            return true;
        }
    }
    return false;
}

static bool sequence(struct slice s)
{
    size_t breaks = 0;
    for (size_t i = 0; i + 1 < s.n; i++) {
        breaks += !side_by_side(s.p[i], s.p[i + 1]);
    }
    return breaks <= BREAKS_MOST;
}

/* ---- names that anybody knows ---- */

static void without(struct buf *text, struct slice name)
{
    struct buf out = BUF_MAX(MOST);
    struct slice s = buf_slice(text);
    if (name.n < NAME_LEAST) {
        return;
    }
    for (size_t i = 0; i < s.n;) {
        if (slice_starts_nocase(slice_skip(s, i), name)) {
            i += name.n;
        } else {
            buf_addc(&out, s.p[i++]);
        }
    }
    buf_clear(text);
    buf_add(text, buf_slice(&out));
    buf_deinit(&out);
}

static bool names_alone(struct slice s, const char *login)
{
    struct buf rest = BUF_MAX(MOST);
    struct slice part, names = slice_str(login);
    buf_add(&rest, s);
    without(&rest, names);
    while (names.n && slice_split(&names, '@', &part)) {
        without(&rest, part);
        struct slice label;
        if (slice_split(&part, '.', &label)) {
            without(&rest, label);
        }
    }
    without(&rest, S("openfunnel"));
    without(&rest, S("funnel"));
    bool few = rest.len < s.n && rest.len < REST_LEAST;
    buf_deinit(&rest);
    return few;
}

/* ---- words ---- */

/* "P@ssw0rd-2024" is the word "password": digits and marks at the ends go, what looks like a
 * letter is one. */
static void core_of(struct slice s, struct buf *out)
{
    static const char marks[] = "013457@$!", letters[] = "oleastasi";
    size_t from = 0, to = s.n;
    while (from < to && !letter(s.p[from])) {
        from++;
    }
    while (to > from && !letter(s.p[to - 1])) {
        to--;
    }
    for (size_t i = from; i < to; i++) {
        const char *mark = s.p[i] ? strchr(marks, s.p[i]) : NULL;
        const char *seen = mark ? &letters[mark - marks] : &s.p[i];
        char c = *seen;
        if (letter(c) || digit(c)) {
            buf_addc(out, c);
        }
    }
}

/* The word alone, or twice and more. */
static bool made_of(struct slice text, struct slice word)
{
    size_t i = 0;
    while (word.n && i < text.n && slice_starts_nocase(slice_skip(text, i), word)) {
        i += word.n;
    }
    return text.n && i == text.n;
}

static bool listed(struct slice words, struct slice whole, struct slice core)
{
    struct slice word;
    while (words.n && slice_split(&words, '\n', &word)) {
        word = slice_trim(word);
        if (word.n >= NAME_LEAST && (made_of(core, word) || slice_eq_nocase(whole, word))) {
            return true;
        }
    }
    return false;
}

const char *password_rules(struct slice words, struct slice password, const char *login)
{
    if (password.n < LEAST || password.n > MOST) {
        return "The password needs 12 to 256 characters.";
    }
    struct buf text = BUF_MAX(MOST), core = BUF_MAX(MOST);
    for (size_t i = 0; i < password.n; i++) {
        buf_addc(&text, lower(password.p[i]));
    }
    struct slice s = buf_slice(&text);
    core_of(s, &core);
    bool bad =
        repeats(s) || sequence(s) || names_alone(s, login) || listed(words, s, buf_slice(&core));
    buf_deinit(&text);
    buf_deinit(&core);
    return bad ? guessed : NULL;
}

const char *password_fault(struct slice password, const char *login)
{
    struct buf words = BUF_MAX(WORDS_MAX);
    int rc = file_read(PASSWORD_WORDS_FILE, &words);
    if (rc < 0) {
        log_warn("password.no_words", F_STR("file", PASSWORD_WORDS_FILE), F_ERR(rc));
    }
    const char *fault = password_rules(rc == 0 ? buf_slice(&words) : S(""), password, login);
    buf_deinit(&words);
    return fault;
}
