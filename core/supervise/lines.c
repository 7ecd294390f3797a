#include "supervise/lines.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK ((size_t)64 * 1024)
/* An idle connection does not keep the memory of the largest answer it ever saw. */
#define KEEP_BYTES ((size_t)256 * 1024)

void lines_open(lines *l, int fd, size_t line_max, size_t out_max) {
    memset(l, 0, sizeof *l);
    l->fd = fd;
    l->line_max = line_max;
    buf_init(&l->in, line_max + 2 * CHUNK);
    buf_init(&l->out, out_max);
}

void lines_close(lines *l) {
    if (l->fd >= 0) {
        close(l->fd);
        buf_free(&l->in);
        buf_free(&l->out);
    }
    l->fd = -1;
    l->ended = l->broken = true;
    l->in_at = l->in_seen = l->out_at = 0;
}

/* Moves the rest to the front, so that the buffer holds one line and a chunk at most. */
static void compact(lines *l) {
    if (l->in_at == 0) return;
    size_t rest = l->in.len - l->in_at;
    if (rest > 0) memmove(l->in.data, l->in.data + l->in_at, rest);
    l->in.len = rest;
    l->in_seen -= l->in_at;
    l->in_at = 0;
    if (rest == 0 && l->in.cap > KEEP_BYTES) buf_free(&l->in);
}

void lines_receive(lines *l) {
    compact(l);
    while (l->fd >= 0 && !l->ended && !l->too_big) {
        if (l->in.len > l->line_max + CHUNK || !buf_reserve(&l->in, CHUNK)) break;
        ssize_t n = recv(l->fd, l->in.data + l->in.len, CHUNK, MSG_DONTWAIT);
        if (n > 0) {
            l->in.len += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        l->ended = true;
    }
    if (!buf_ok(&l->in)) l->ended = l->broken = true; /* no memory: this peer is given up */
}

bool lines_next(lines *l, weir_str *line) {
    if (l->fd < 0 || l->too_big || l->in.data == NULL) return false;
    char *newline = memchr(l->in.data + l->in_seen, '\n', l->in.len - l->in_seen);
    size_t end = newline != NULL ? (size_t)(newline - l->in.data) : l->in.len;
    if (end - l->in_at > l->line_max) {
        l->too_big = true;
        return false;
    }
    l->in_seen = end;
    if (newline == NULL) return false;
    *line = (weir_str){l->in.data + l->in_at, end - l->in_at};
    l->in_at = l->in_seen = end + 1;
    return true;
}

bool lines_send(lines *l, weir_str head, weir_str body) {
    if (l->fd < 0 || l->broken) return false;
    buf_append_str(&l->out, head);
    buf_append_str(&l->out, body);
    buf_append_char(&l->out, '\n');
    if (!buf_ok(&l->out)) {
        l->broken = l->ended = true; /* half a line is worse than none */
        return false;
    }
    lines_flush(l);
    return !l->broken;
}

void lines_flush(lines *l) {
    while (l->fd >= 0 && !l->broken && l->out_at < l->out.len) {
        ssize_t n = send(l->fd, l->out.data + l->out_at, l->out.len - l->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            l->out_at += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else {
            l->broken = true;
        }
    }
    l->out_at = 0;
    buf_reset(&l->out);
    if (l->out.cap > KEEP_BYTES) buf_free(&l->out);
}

bool lines_waiting(const lines *l) {
    return l->fd >= 0 && !l->broken && l->out_at < l->out.len;
}
