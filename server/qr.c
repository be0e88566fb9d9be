/* libqrencode's modules as runs of one path, so that the SVG stays small. */
#include "server/qr.h"

#include <qrencode.h>

enum { QUIET = 4 };

bool qr_svg(const char *text, struct buf *out)
{
    QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    if (!qr) {
        return false;
    }
    int width = qr->width, all = width + 2 * QUIET;
    buf_addf(out,
             "<svg class=qr viewBox=\"0 0 %d %d\" role=img aria-label=\"QR code\">"
             "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/><path d=\"",
             all, all, all, all);
    for (int y = 0; y < width; y++) {
        for (int x = 0; x < width; x++) {
            int run = 0;
            while (x + run < width && qr->data[y * width + x + run] & 1) {
                run++;
            }
            if (run) {
                buf_addf(out, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, run, run);
                x += run;
            }
        }
    }
    buf_adds(out, "\"/></svg>");
    QRcode_free(qr);
    return buf_ok(out);
}
