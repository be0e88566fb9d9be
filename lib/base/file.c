/* Files whole: read with a cap, replaced atomically and durably. */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"

#define PIECE (16 * KIB)

static int read_into(int fd, struct buf *out)
{
    for (;;) {
        size_t room = out->max - out->len;
        if (buf_reserve(out, room < PIECE ? room : PIECE)) {
            return err_origin(-ENOMEM);
        }
        char extra;
        ssize_t n = room ? read(fd, buf_tail(out), buf_room(out)) : read(fd, &extra, 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n ? err_origin(-errno) : 0;
        }
        if (!room) {
            return FILE_TOO_BIG;
        }
        buf_commit(out, (size_t)n);
    }
}

int file_read(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? FILE_MISSING : err_origin(-errno);
    }
    int r = read_into(fd, out);
    (void)close(fd);
    return r;
}

static int write_all(int fd, struct slice data)
{
    while (data.n) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_origin(-errno);
        }
        data = slice_skip(data, (size_t)n);
    }
    return fsync(fd) ? err_origin(-errno) : 0;
}

static int sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    ptrdiff_t at = slice_rfind(slice_str(path), '/');
    if (!slice_copy(at > 0 ? slice_of(path, (size_t)at) : slice_str(at ? "." : "/"), folder,
                    sizeof(folder))) {
        return err_origin(-ENAMETOOLONG);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int r = fsync(fd) ? err_origin(-errno) : 0;
    (void)close(fd);
    return r;
}

int file_replace(const char *path, mode_t mode, struct slice data)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(temporary)) {
        return err_origin(-ENAMETOOLONG);
    }
    (void)unlink(temporary); /* a left-over of a crash may have other permissions */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int r = fchmod(fd, mode) ? err_origin(-errno) : write_all(fd, data);
    (void)close(fd);
    if (!r && rename(temporary, path)) {
        r = err_origin(-errno);
    }
    if (r) {
        (void)unlink(temporary);
        return r;
    }
    return sync_folder_of(path);
}

int file_mkdirs(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof(part)) {
        return err_origin(-ENAMETOOLONG);
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] == '/' || path[i] == 0) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, mode) && errno != EEXIST) {
                return err_origin(-errno);
            }
        }
    }
    return 0;
}
