/* Secrets. Wiping goes through a volatile pointer, so that the compiler keeps it. */
#include "lib/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/err.h"

#define SECRET_FILE_MAX (4 * KIB)

void secret_random(void *out, size_t n)
{
    char *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* no randomness: nothing we could make would be a secret */
        }
        p += got;
        n -= (size_t)got;
    }
}

bool secret_eq(struct slice a, struct slice b)
{
    volatile unsigned char diff = a.n != b.n;
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
    }
    return diff == 0;
}

void secret_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

void secret_wipe_buf(struct buf *b)
{
    if (b->p) {
        secret_wipe(b->p, b->cap);
    }
    buf_deinit(b);
}

void secret_id(char *out, size_t n)
{
    static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char bytes[64];
    for (size_t done = 0; done < n;) {
        secret_random(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && done < n; i++) {
            out[done++] = alphabet[bytes[i] & 31];
        }
    }
    out[n] = 0;
}

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        char piece[512];
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_origin(-errno);
        }
        if (n == 0) {
            return 0;
        }
        if (buf_push(out, slice_of(piece, (size_t)n))) {
            return err_origin(-EFBIG);
        }
        secret_wipe(piece, sizeof(piece));
    }
}

int secret_read_ref(struct slice ref, struct buf *out)
{
    char path[4096];
    int fd = STDIN_FILENO;
    if (slice_starts(ref, S("file:"))) {
        if (!slice_copy(slice_skip(ref, 5), path, sizeof(path))) {
            return err_origin(-ENAMETOOLONG);
        }
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return err_origin(-errno);
        }
    } else if (!slice_eq(ref, S("-"))) {
        return SECRET_INLINE;
    }
    buf_init(out, SECRET_FILE_MAX);
    int r = read_all(fd, out);
    if (fd != STDIN_FILENO) {
        (void)close(fd);
    }
    if (r) {
        secret_wipe_buf(out);
        return err_trace(r);
    }
    struct slice got = buf_slice(out);
    if (got.n && got.p[got.n - 1] == '\n') {
        buf_truncate(out, got.n - 1);
    }
    return 0;
}
