/*
 * The asking end of a control socket: one request, one answer, within a deadline.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/os.h"
#include "base/str.h"
#include "supervise/control_private.h"
#include "supervise/lines.h"
#include "supervise/link.h"

/* Names looked at to find one that was meant. */
#define NAMES_MAX 1000u

static weir_status reach(const char *folder, int64_t deadline_ns, int *out, weir_error *err);
static weir_status too_late(weir_error *err);
static weir_status nobody_there(const char *folder, weir_error *err);
static weir_status await(lines *l, int64_t deadline_ns, buf *out, weir_error *err);

weir_status control_call(const char *folder, weir_str request, int64_t deadline_ns, buf *out,
                         weir_error *err) {
    if (request.len >= CONTROL_REQUEST_MAX || memchr(request.ptr, '\n', request.len) != NULL) {
        return error_set(err, WEIR_E_INVALID_ARG, 0, "a request is one line of less than 64 KiB");
    }
    int fd = -1;
    weir_status status = reach(folder, deadline_ns, &fd, err);
    if (status != WEIR_OK) return status;
    lines l;
    lines_open(&l, fd, LINK_ANSWER_MAX + 64, CONTROL_REQUEST_MAX + 64);
    /* One that refuses us says so and closes, perhaps before this is sent: its words still count.
     */
    (void)lines_send(&l, (weir_str){"", 0}, request);
    status = await(&l, deadline_ns, out, err);
    lines_close(&l);
    return status;
}

static weir_status reach(const char *folder, int64_t deadline_ns, int *out, weir_error *err) {
    struct sockaddr_un address;
    char text[128];
    weir_status status = control_address(folder, &address, err);
    if (status != WEIR_OK) return status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set(err, WEIR_E_IO, 0, "no socket: %s", os_strerror(errno, text, sizeof text));
    }
    /* With a full backlog a non-blocking connect fails and a blocking one waits: this one waits,
     * until the deadline. */
    int64_t left_ns = deadline_ns - clock_mono_ns(&clock_system);
    if (left_ns < CLOCK_NS_PER_MS) left_ns = CLOCK_NS_PER_MS;
    struct timeval left = {.tv_sec = left_ns / CLOCK_NS_PER_S,
                           .tv_usec = left_ns % CLOCK_NS_PER_S / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
    int code = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    if (code == 0 && !control_peer_trusted(fd) && geteuid() != 0) {
        close(fd);
        return error_set(err, WEIR_E_PERMISSION, 0,
                         "the process behind %s is another user's: it is not asked",
                         address.sun_path);
    }
    if (code == 0) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        *out = fd;
        return WEIR_OK;
    }
    close(fd);
    if (code == EAGAIN) return too_late(err);
    if (code == ENOENT || code == ECONNREFUSED || code == ENOTDIR) {
        return nobody_there(folder, err);
    }
    error_set(err, code == EACCES ? WEIR_E_PERMISSION : WEIR_E_IO, 0, "connect to %s: %s",
              address.sun_path, os_strerror(code, text, sizeof text));
    if (code == EACCES) {
        error_hint(err, "a pipeline answers the user it runs as, and root: ask as one of them");
    }
    return error_status(err);
}

static bool listens(arena *a, weir_str state, const char *name) {
    struct sockaddr_un address;
    char *folder = os_join(a, state, str_of(name));
    if (folder == NULL || control_address(folder, &address, NULL) != WEIR_OK) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    int code = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return code == 0 || code == EAGAIN;
}

/* NOT_FOUND, with the running pipeline whose name is nearest, or those that run. */
static weir_status nobody_there(const char *folder, weir_error *err) {
    weir_str path = str_of(folder);
    while (path.len > 1 && path.ptr[path.len - 1] == '/') path.len--;
    weir_str state = os_dirname(path), name = path;
    const char *slash = memrchr(path.ptr, '/', path.len);
    if (slash != NULL) name = str_make(slash + 1, path.len - (size_t)(slash + 1 - path.ptr));
    error_set(err, WEIR_E_NOT_FOUND, 0, "no pipeline %.*s runs", STR_FMT(name));
    arena *a = arena_new(MIB);
    char *state_z = a != NULL ? arena_printf(a, "%.*s", STR_FMT(state)) : NULL;
    DIR *dir = state_z != NULL ? opendir(state_z) : NULL;
    weir_str *names = a != NULL ? arena_array(a, NAMES_MAX, sizeof *names) : NULL;
    size_t count = 0;
    if (dir != NULL && names != NULL) {
        for (struct dirent *e; (e = readdir(dir)) != NULL && count < NAMES_MAX;) {
            if (e->d_name[0] == '.' || !listens(a, state, e->d_name)) continue;
            names[count] = arena_str(a, str_of(e->d_name));
            if (names[count].ptr != NULL) count++;
        }
    }
    if (dir != NULL) closedir(dir);
    int nearest = count > 0 ? str_nearest(name, names, count) : -1;
    if (nearest >= 0) {
        error_hint(err, "did you mean %.*s?", STR_FMT(names[nearest]));
    } else if (count > 0) {
        buf list;
        buf_init(&list, 4 * KIB);
        for (size_t i = 0; i < count && i < 10; i++)
            buf_printf(&list, "%s%.*s", i > 0 ? ", " : "", STR_FMT(names[i]));
        if (count > 10) buf_printf(&list, " and %zu more", count - 10);
        if (buf_ok(&list)) error_hint(err, "running: %.*s", STR_FMT(buf_str(&list)));
        buf_free(&list);
    } else {
        error_hint(err, "none runs under %.*s; WEIR_STATE says where to look", STR_FMT(state));
    }
    arena_free(a);
    return WEIR_E_NOT_FOUND;
}

static weir_status await(lines *l, int64_t deadline_ns, buf *out, weir_error *err) {
    for (;;) {
        weir_str line;
        lines_flush(l);
        lines_receive(l);
        if (lines_next(l, &line)) {
            buf_append_str(out, line);
            return buf_ok(out) ? WEIR_OK : error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        }
        if (l->too_big) return error_set(err, WEIR_E_TOO_LARGE, 0, "the answer is too large");
        if (l->ended) return error_set(err, WEIR_E_IO, 0, "the pipeline ended before it answered");
        int64_t now = clock_mono_ns(&clock_system);
        if (now >= deadline_ns) return too_late(err);
        int64_t left_ms = (deadline_ns - now) / CLOCK_NS_PER_MS + 1;
        struct pollfd fd = {.fd = l->fd, .events = POLLIN};
        if (lines_waiting(l)) fd.events |= POLLOUT;
        (void)poll(&fd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
    }
}

static weir_status too_late(weir_error *err) {
    error_set(err, WEIR_E_TIMEOUT, 0, "the pipeline did not answer in time");
    error_hint(err, "it runs, but is busy or hung: its log says more");
    return WEIR_E_TIMEOUT;
}
