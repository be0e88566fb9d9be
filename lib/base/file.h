#pragma once
/* Small files: read whole with a cap, replace atomically (temporary, fsync, rename, fsync of the
 * folder). */
#include <sys/types.h>

#include "lib/base/buf.h"

enum { FILE_TOO_BIG = 1, FILE_MISSING = 2 };

int file_read(const char *path,
              struct buf *out) MUST_CHECK; /* 0, FILE_TOO_BIG, FILE_MISSING, -errno */
int file_replace(const char *path, mode_t mode, struct slice data) MUST_CHECK;
int file_mkdirs(const char *path, mode_t mode) MUST_CHECK; /* like mkdir -p; mode for those made */
