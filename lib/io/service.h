#pragma once
/* Service manager protocol in a few lines: readiness, watchdog, inherited sockets (sd_listen_fds).
 */
#include <stdbool.h>

#include "lib/base/slice.h"

void service_notify(const char *state); /* "READY=1", "STOPPING=1"; nothing without NOTIFY_SOCKET */
/* The inherited descriptor with this LISTEN_FDNAMES name, or -1; CLOEXEC and non-blocking are set.
 */
int service_inherited(const char *name);
