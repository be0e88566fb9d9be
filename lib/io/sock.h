#pragma once
/* Sockets: addresses, listeners, connects, options. Every descriptor is CLOEXEC and non-blocking.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/buf.h"
#include "lib/base/macros.h"
#include "lib/base/slice.h"

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage ss;
    };

    socklen_t len;
};

#define ADDR_TEXT_SIZE 128
/* "1.2.3.4:80", "[::1]:80", "unix:/path". v4-mapped v6 is shown as v4. */
void addr_format(const struct addr *a, char out[ADDR_TEXT_SIZE]);
void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_SIZE]); /* without the port */
/* IP literals only (no resolver): "IP:port", "[v6]:port", ":port" (any address, v6 with v4),
 * "unix:/path". */
bool addr_parse(struct slice text, struct addr *out_addr);
bool addr_from_ip(struct slice ip, uint16_t port, struct addr *out_addr);
uint16_t addr_port(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_same_ip(const struct addr *a, const struct addr *b);
/* 16 bytes, v4 as v4-mapped v6: the form on the tunnel's wire. */
void addr_to_bytes(const struct addr *a, uint8_t out[16]);
void addr_from_bytes(const uint8_t in[16], uint16_t port, struct addr *out_addr); /* unmaps v4 */

enum sock_flags { SOCK_PLAIN = 0, SOCK_REUSEPORT = 1, SOCK_TRANSPARENT_V6 = 2 };

int sock_listen(const struct addr *a,
                int backlog,
                enum sock_flags flags) MUST_CHECK;              /* fd or -errno */
int sock_listen_unix(const char *path, mode_t mode) MUST_CHECK; /* replaces a stale socket file */
int sock_bind_udp(const struct addr *a, enum sock_flags flags) MUST_CHECK;
int sock_connect(const struct addr *a) MUST_CHECK; /* fd (perhaps still connecting) or -errno */
int sock_accept(int fd, struct addr *out_peer) MUST_CHECK; /* fd, -EAGAIN, other -errno */
int sock_error(int fd); /* SO_ERROR as -errno, 0 when connected */
int sock_pair(int out_fds[2]) MUST_CHECK;

void sock_nodelay(int fd);
void sock_keepalive(int fd, int idle_s, int interval_s, int count);
void sock_user_timeout(int fd, int ms);
void sock_reset_on_close(int fd); /* SO_LINGER 0: the next close sends RST */
bool sock_peer(int fd, struct addr *out_addr);
bool sock_local(int fd, struct addr *out_addr);

struct sock_cred {
    int pid;
    unsigned uid, gid;
};

bool sock_peer_cred(int fd, struct sock_cred *out_cred);
