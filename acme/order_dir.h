#pragma once
/*
 * The directory of one order: fresh, 0700, the child's own, holding only req.csr and then what
 * uacme writes. The child is not trusted: what is read back is a plain file of a bounded size, and
 * removal follows no link.
 */
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"

#define ORDER_DIR_PATH 400

struct order_owner {
    uid_t uid; /* 0: unchanged */
    gid_t gid;
};

/* A directory without a dot in its last part (trap T7); made 0700 if missing. */
int order_dir_make(const char *path, const struct order_owner *owner) MUST_CHECK;
int order_dir_put_csr(const char *dir,
                      const struct order_owner *owner,
                      struct slice csr) MUST_CHECK;
/* req-cert.pem; -ENOENT, -EINVAL when it is not a plain file, -EMSGSIZE. */
int order_dir_get_chain(const char *dir, struct buf *out) MUST_CHECK;
/* May the owner pass every folder above `path`? Else false, and the one that is closed to it. */
bool order_owner_reaches(const struct order_owner *owner,
                         const char *path,
                         char out_closed[ORDER_DIR_PATH]);
/* Files go, then the directory; what is no file stays for whoever investigates. */
void order_dir_remove(const char *dir);
/* Every order directory under `parent`: what a killed runner left. */
void order_dir_purge(const char *parent);
