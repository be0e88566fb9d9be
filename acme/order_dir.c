/* Everything below an order's directory goes through its descriptor, opened without following
 * links, so that a hijacked child cannot point us elsewhere. */
#include "acme/order_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

enum {
    ENTRIES_MAX = 10000, /* of one directory: bounds the clean-up, far above what uacme makes */
    NAME_ROOM = 32,
};

static int give(const char *path, const struct order_owner *owner)
{
    return owner->uid && chown(path, owner->uid, owner->gid) < 0 ? err_origin(-errno) : 0;
}

int order_dir_make(const char *path, const struct order_owner *owner)
{
    int rc = file_mkdirs(path, 0700);
    return rc < 0 ? err_trace(rc) : give(path, owner);
}

/* As the kernel decides it for a process without capabilities and supplementary groups. */
static bool may_pass(const struct order_owner *owner, const struct stat *st)
{
    mode_t bit = st->st_uid == owner->uid ? S_IXUSR : st->st_gid == owner->gid ? S_IXGRP : S_IXOTH;
    return st->st_mode & bit;
}

bool order_owner_reaches(const struct order_owner *owner,
                         const char *path,
                         char out_closed[ORDER_DIR_PATH])
{
    char folder[ORDER_DIR_PATH] = "";
    for (size_t i = 0; path[i] && i + 1 < sizeof folder; i++) {
        struct stat st;
        folder[i] = path[i];
        if (owner->uid && path[i] == '/' && stat(folder, &st) == 0 && !may_pass(owner, &st)) {
            memcpy(out_closed, folder, sizeof folder);
            return false;
        }
    }
    return true;
}

int order_dir_put_csr(const char *dir, const struct order_owner *owner, struct slice csr)
{
    char path[ORDER_DIR_PATH + NAME_ROOM];
    text_fit(path, sizeof path, "%s/req.csr", dir);
    int rc = file_replace(path, 0600, csr);
    return rc < 0 ? err_trace(rc) : give(path, owner);
}

static int read_plain(int fd, struct buf *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < 0) {
        return -EINVAL;
    }
    if (buf_reserve(out, (size_t)st.st_size)) {
        return -EMSGSIZE;
    }
    ssize_t n = read(fd, buf_tail(out), (size_t)st.st_size);
    if (n < 0) {
        return -errno;
    }
    buf_commit(out, (size_t)n);
    return 0;
}

int order_dir_get_chain(const char *dir, struct buf *out)
{
    char path[ORDER_DIR_PATH + NAME_ROOM];
    text_fit(path, sizeof path, "%s/req-cert.pem", dir);
    /* NONBLOCK: a FIFO in its place must not hold us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    int rc = read_plain(fd, out);
    close(fd);
    return rc;
}

static DIR *open_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d) {
        close(fd);
    }
    return d;
}

static struct dirent *next_entry(DIR *d)
{
    struct dirent *e = NULL;
    do {
        /* The stream is ours alone. */
        e = readdir(d); /* NOLINT(concurrency-mt-unsafe) */
    } while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e;
}

void order_dir_remove(const char *dir)
{
    DIR *d = open_dir(dir);
    struct dirent *e;
    if (!d) {
        return;
    }
    for (int i = 0; i < ENTRIES_MAX && (e = next_entry(d)); i++) {
        err_ignore(unlinkat(dirfd(d), e->d_name, 0));
    }
    closedir(d);
    err_ignore(rmdir(dir));
}

void order_dir_purge(const char *parent)
{
    char path[2 * ORDER_DIR_PATH];
    DIR *d = open_dir(parent);
    struct dirent *e;
    if (!d) {
        return;
    }
    for (int i = 0; i < ENTRIES_MAX && (e = next_entry(d)); i++) {
        if (snprintf(path, sizeof path, "%s/%s", parent, e->d_name) < (int)sizeof path) {
            order_dir_remove(path);
        }
    }
    closedir(d);
}
