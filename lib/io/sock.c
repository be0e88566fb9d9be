/* Sockets with the flags this project always wants, and addresses as text and as bytes. */
#include "lib/io/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/text.h"

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const struct addr *a)
{
    return a->sa.sa_family == AF_INET6 &&
           memcmp(&a->in6.sin6_addr, v4_mapped, sizeof v4_mapped) == 0;
}

void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    out[0] = '\0';
    if (a->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->in4.sin_addr, out, ADDR_TEXT_SIZE);
    } else if (is_mapped(a)) {
        inet_ntop(AF_INET, a->in6.sin6_addr.s6_addr + sizeof v4_mapped, out, ADDR_TEXT_SIZE);
    } else if (a->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in6.sin6_addr, out, ADDR_TEXT_SIZE);
    } else if (a->sa.sa_family == AF_UNIX) {
        text_fit(out, ADDR_TEXT_SIZE, "unix:%s", a->un.sun_path);
    }
}

void addr_format(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    char ip[ADDR_TEXT_SIZE];
    addr_format_ip(a, ip);
    bool v6 = a->sa.sa_family == AF_INET6 && !is_mapped(a);
    if (a->sa.sa_family == AF_UNIX) {
        memcpy(out, ip, sizeof ip);
    } else {
        text_fit(out, ADDR_TEXT_SIZE, v6 ? "[%.60s]:%u" : "%.60s:%u", ip, addr_port(a));
    }
}

uint16_t addr_port(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET) {
        return ntohs(a->in4.sin_port);
    }
    return a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

bool addr_from_ip(struct slice ip, uint16_t port, struct addr *out_addr)
{
    char text[64];
    struct addr a;
    memset(&a, 0, sizeof a);
    if (!slice_copy(ip, text, sizeof text)) {
        return false;
    }
    if (inet_pton(AF_INET, text, &a.in4.sin_addr) == 1) {
        a.in4.sin_family = AF_INET;
        a.in4.sin_port = htons(port);
        a.len = sizeof a.in4;
    } else if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
        a.len = sizeof a.in6;
    } else {
        return false;
    }
    *out_addr = a;
    return true;
}

static bool parse_unix(struct slice path, struct addr *out_addr)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.un.sun_family = AF_UNIX;
    if (!path.n || !slice_copy(path, a.un.sun_path, sizeof a.un.sun_path)) {
        return false;
    }
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    *out_addr = a;
    return true;
}

bool addr_parse(struct slice text, struct addr *out_addr)
{
    if (slice_starts(text, S("unix:"))) {
        return parse_unix(slice_skip(text, 5), out_addr);
    }
    ptrdiff_t colon = slice_rfind(text, ':');
    uint64_t port;
    if (colon < 0 || !slice_u64(slice_skip(text, (size_t)colon + 1), 65535, &port)) {
        return false;
    }
    struct slice host = slice_of(text.p, (size_t)colon);
    if (!host.n) {
        return addr_from_ip(S("::"), (uint16_t)port, out_addr);
    }
    if (host.p[0] == '[') {
        if (host.n < 3 || host.p[host.n - 1] != ']') {
            return false;
        }
        host = slice_of(host.p + 1, host.n - 2);
    } else if (slice_find(host, ':') >= 0) {
        return false; /* a v6 address wants brackets */
    }
    return addr_from_ip(host, (uint16_t)port, out_addr);
}

void addr_to_bytes(const struct addr *a, uint8_t out[16])
{
    memset(out, 0, 16);
    if (a->sa.sa_family == AF_INET) {
        memcpy(out, v4_mapped, sizeof v4_mapped);
        memcpy(out + sizeof v4_mapped, &a->in4.sin_addr, 4);
    } else if (a->sa.sa_family == AF_INET6) {
        memcpy(out, &a->in6.sin6_addr, 16);
    }
}

void addr_from_bytes(const uint8_t in[16], uint16_t port, struct addr *out_addr)
{
    memset(out_addr, 0, sizeof *out_addr);
    if (memcmp(in, v4_mapped, sizeof v4_mapped) == 0) {
        out_addr->in4.sin_family = AF_INET;
        out_addr->in4.sin_port = htons(port);
        memcpy(&out_addr->in4.sin_addr, in + sizeof v4_mapped, 4);
        out_addr->len = sizeof out_addr->in4;
    } else {
        out_addr->in6.sin6_family = AF_INET6;
        out_addr->in6.sin6_port = htons(port);
        memcpy(&out_addr->in6.sin6_addr, in, 16);
        out_addr->len = sizeof out_addr->in6;
    }
}

bool addr_is_loopback(const struct addr *a)
{
    if (a->sa.sa_family == AF_UNIX) {
        return true;
    }
    uint8_t bytes[16];
    addr_to_bytes(a, bytes);
    if (memcmp(bytes, v4_mapped, sizeof v4_mapped) == 0) {
        return bytes[12] == 127;
    }
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    uint8_t x[16], y[16];
    addr_to_bytes(a, x);
    addr_to_bytes(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* A bound socket, or -errno with nothing left open. */
static int bound(const struct addr *a, int type, enum sock_flags flags)
{
    int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_origin(-errno);
    }
    int rc = 0;
    if (type == SOCK_STREAM && a->sa.sa_family != AF_UNIX) {
        rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if (!rc && (flags & SOCK_REUSEPORT)) {
        rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (!rc && a->sa.sa_family == AF_INET6) {
        bool any = IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
        rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !any);
    }
    if (!rc && bind(fd, &a->sa, a->len) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        close(fd);
        return err_origin(rc);
    }
    return fd;
}

int sock_listen(const struct addr *a, int backlog, enum sock_flags flags)
{
    int fd = bound(a, SOCK_STREAM, flags);
    if (fd < 0) {
        return err_trace(fd);
    }
    if (listen(fd, backlog) < 0) {
        int rc = -errno;
        close(fd);
        return err_origin(rc);
    }
    return fd;
}

int sock_bind_udp(const struct addr *a, enum sock_flags flags)
{
    int fd = bound(a, SOCK_DGRAM, flags);
    return fd < 0 ? err_trace(fd) : fd;
}

/* Somebody answers there: the file is not stale. */
static bool unix_alive(const struct addr *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    bool alive = connect(fd, &a->sa, a->len) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

int sock_listen_unix(const char *path, mode_t mode)
{
    enum { BACKLOG = 128 };
    struct addr a;
    struct stat st;
    if (!parse_unix(slice_str(path), &a)) {
        return err_origin(-ENAMETOOLONG);
    }
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode)) {
            return err_origin(-EEXIST);
        }
        if (unix_alive(&a)) {
            return err_origin(-EADDRINUSE);
        }
        err_ignore(unlink(path));
    }
    mode_t old = umask(0777 & ~mode); /* no moment at which others could connect */
    int fd = sock_listen(&a, BACKLOG, SOCK_PLAIN);
    umask(old);
    return fd < 0 ? err_trace(fd) : fd;
}

int sock_connect(const struct addr *a)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_origin(-errno);
    }
    if (a->sa.sa_family != AF_UNIX) {
        sock_nodelay(fd);
    }
    if (connect(fd, &a->sa, a->len) < 0 && errno != EINPROGRESS) {
        int rc = -errno;
        close(fd);
        return err_origin(rc);
    }
    return fd;
}

int sock_accept(int fd, struct addr *out_peer)
{
    struct addr peer;
    memset(&peer, 0, sizeof peer);
    peer.len = sizeof peer.ss;
    int conn = accept4(fd, &peer.sa, &peer.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (conn < 0) {
        /* What happened to that one connection is no trouble of the listener (accept(2)). */
        return errno == ECONNABORTED || errno == EPROTO || errno == EINTR ? -EAGAIN : -errno;
    }
    if (out_peer) {
        *out_peer = peer;
    }
    return conn;
}

int sock_error(int fd)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) < 0 ? -errno : -value;
}

int sock_pair(int out_fds[2])
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return err_origin(-errno);
    }
    out_fds[0] = fds[0];
    out_fds[1] = fds[1];
    return 0;
}

/* Options are wishes: a socket without them works, only worse. */
void sock_nodelay(int fd)
{
    err_ignore(set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1));
}

void sock_keepalive(int fd, int idle_s, int interval_s, int count)
{
    err_ignore(set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
    err_ignore(set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s));
    err_ignore(set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s));
    err_ignore(set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, count));
}

void sock_user_timeout(int fd, int ms)
{
    err_ignore(set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms));
}

void sock_reset_on_close(int fd)
{
    struct linger l = {.l_onoff = 1, .l_linger = 0};
    err_ignore(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
}

typedef int (*name_fn)(int, struct sockaddr *, socklen_t *);

static bool socket_name(int fd, struct addr *out_addr, name_fn fn)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.len = sizeof a.ss;
    if (fn(fd, &a.sa, &a.len) < 0) {
        return false;
    }
    *out_addr = a;
    return true;
}

static int peer_name(int fd, struct sockaddr *sa, socklen_t *len)
{
    return getpeername(fd, sa, len);
}

static int local_name(int fd, struct sockaddr *sa, socklen_t *len)
{
    return getsockname(fd, sa, len);
}

bool sock_peer(int fd, struct addr *out_addr)
{
    return socket_name(fd, out_addr, peer_name);
}

bool sock_local(int fd, struct addr *out_addr)
{
    return socket_name(fd, out_addr, local_name);
}

bool sock_peer_cred(int fd, struct sock_cred *out_cred)
{
    struct ucred c;
    socklen_t len = sizeof c;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0) {
        return false;
    }
    *out_cred = (struct sock_cred){.pid = c.pid, .uid = c.uid, .gid = c.gid};
    return true;
}
