/* The one place where text becomes HTML. */
#include "lib/http/html.h"

#include <stdarg.h>

void html_text(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '&') {
            buf_adds(out, "&amp;");
        } else if (c == '<') {
            buf_adds(out, "&lt;");
        } else if (c == '>') {
            buf_adds(out, "&gt;");
        } else if (c == '"') {
            buf_adds(out, "&quot;");
        } else if (c == '\'') {
            buf_adds(out, "&#39;");
        } else if ((unsigned char)c >= 0x20 || c == '\n' || c == '\t') {
            buf_addc(out, c);
        }
    }
}

void html_fmt(struct buf *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    for (const char *c = fmt; *c; c++) {
        if (*c != '%') {
            buf_addc(out, *c);
            continue;
        }
        c++;
        if (*c == 's') {
            html_text(out, slice_str(va_arg(ap, const char *)));
        } else if (*c == 'd') {
            buf_addf(out, "%d", va_arg(ap, int));
        } else {
            buf_addc(out, '%');
        }
    }
    va_end(ap);
}
