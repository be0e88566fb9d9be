/* sd_notify and sd_listen_fds without libsystemd: two environment variables and a datagram. */
#include "lib/io/service.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/err.h"

enum { FIRST_FD = 3, FDS_MAX = 64 };

void service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (!path || !slice_copy(slice_str(path), un.sun_path, sizeof un.sun_path)) {
        return;
    }
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (un.sun_path[0] == '@') {
        un.sun_path[0] = '\0'; /* the abstract namespace */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        /* Nobody to tell is no error. */
        err_ignore(
            (int)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&un, len));
        close(fd);
    }
}

static int prepared(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return -1;
    }
    return fd;
}

int service_inherited(const char *name)
{
    uint64_t pid, count;
    struct slice names = slice_str(getenv("LISTEN_FDNAMES")), part;
    if (!slice_u64(slice_str(getenv("LISTEN_PID")), INT32_MAX, &pid) || pid != (uint64_t)getpid() ||
        !slice_u64(slice_str(getenv("LISTEN_FDS")), FDS_MAX, &count)) {
        return -1;
    }
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)count && slice_split(&names, ':', &part); fd++) {
        if (slice_eq(part, slice_str(name))) {
            return prepared(fd);
        }
    }
    return -1;
}
