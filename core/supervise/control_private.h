/*
 * core/supervise/control_private.h - what both ends of a control socket agree on.
 */
#ifndef WEIR_SUPERVISE_CONTROL_PRIVATE_H
#define WEIR_SUPERVISE_CONTROL_PRIVATE_H

#include <sys/un.h>

#include "base/error.h"
#include "supervise/control.h"

#define CONTROL_SOCKET_NAME "control.sock"
#define CONTROL_LOCK_NAME "control.lock"

/* <folder>/control.sock as an address; an error names the length that a path may have. */
weir_status control_address(const char *folder, struct sockaddr_un *out, weir_error *err);
/* True if the process at the other end is root's or ours. */
bool control_peer_trusted(int fd);

#endif
