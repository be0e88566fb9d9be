/* Error notes go to one sink that main() installs: a call path without a debugger (STYLE habit 2).
 */
#include "lib/base/err.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static err_sink_fn sink_now;

void err_set_sink(err_sink_fn sink)
{
    sink_now = sink;
}

const char *err_words(int code)
{
    const char *words = strerrordesc_np(code < 0 ? -code : code);
    return words ? words : "unknown error";
}

int err_note(enum err_kind kind, int code, const char *file, int line, const char *func)
{
    if (sink_now) {
        sink_now(kind, code, file, line, func);
    }
    return kind == ERR_FOLD && code > 0 ? -ENOTRECOVERABLE : code;
}
