#pragma once

/*
 * The error doctrine (STYLE section 2, habits 1 and 2). A function that can
 * fail returns int:
 *    0          done;
 *    negative   broken: -errno, passed up unchanged by the caller;
 *    positive   an answer listed in that function's header, which the caller
 *               must handle.
 * err_origin marks where a negative code is raised, err_trace where it
 * passes, err_fold turns an answer that nobody handled into -ENOTRECOVERABLE.
 * Each returns its code. The sink is installed by main(); none by default.
 */
enum err_kind { ERR_ORIGIN, ERR_TRACE, ERR_FOLD };

typedef void (*err_sink_fn)(
    enum err_kind kind, int code, const char *file, int line, const char *func);

void err_set_sink(err_sink_fn sink);
int err_note(enum err_kind kind, int code, const char *file, int line, const char *func);

/* What errno (of either sign) means, in words; never NULL. Safe with threads, without locale. */
const char *err_words(int code);

#define err_origin(code) err_note(ERR_ORIGIN, (code), __FILE__, __LINE__, __func__)
#define err_trace(code)  err_note(ERR_TRACE, (code), __FILE__, __LINE__, __func__)
#define err_fold(code)   err_note(ERR_FOLD, (code), __FILE__, __LINE__, __func__)

/* The named way to drop a result that does not matter here; say why beside it. */
static inline void err_ignore(int code)
{
    (void)code;
}
