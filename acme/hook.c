/* The hook: asks control over the order's socket and exits by its answer. No library beyond libc,
 * no state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "acme/runner.h"
#include "lib/base/buf.h"

enum { DECLINE = 1, WAIT_S = 120, ARGS = 6 };

static int connect_to(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !slice_copy(slice_str(path), un.sun_path, sizeof un.sun_path) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        connect(fd, (const struct sockaddr *)&un, sizeof un) < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* argv: HOOK METHOD TYPE IDENT TOKEN AUTH. The CA's token is not needed: AUTH is the TXT value. */
int hook_main(int argc, char **argv)
{
    const char *path = getenv("ORDER_SOCK"), *token = getenv("ORDER_TOKEN");
    char answer = '1';
    if (argc != ARGS || !path || !token || strcmp(argv[2], "dns-01") != 0) {
        return DECLINE;
    }
    struct buf line = BUF_MAX(4096);
    buf_addf(&line, "%s %s %s %s %s\n", token, argv[1], argv[2], argv[3], argv[5]);
    int fd = connect_to(path);
    if (fd < 0 || !buf_ok(&line) ||
        send(fd, buf_slice(&line).p, line.len, MSG_NOSIGNAL) != (ssize_t)line.len ||
        recv(fd, &answer, 1, 0) != 1) {
        answer = '1';
    }
    if (fd >= 0) {
        close(fd);
    }
    buf_deinit(&line);
    return answer == '0' ? 0 : DECLINE;
}
