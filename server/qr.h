#pragma once
/* A QR code as inline SVG: dark modules as one path, four modules of quiet zone. */
#include "lib/base/buf.h"

/* False: the text is too long for a code. Nothing of the text itself stands in the SVG. */
bool qr_svg(const char *text, struct buf *out);
