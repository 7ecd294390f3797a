/*
 * The listening end of a control socket, driven by the supervisor's poll loop.
 *
 * A client has one request under way: the next line is looked at when the answer has been sent
 * whole. So answers come in the order of the requests, and a client that does not read holds one
 * answer of ours, never more.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "supervise/control_private.h"
#include "supervise/lines.h"
#include "supervise/link.h"
#include "weir/json.h"

#define ANSWER_MAX (LINK_ANSWER_MAX + 64)
#define BACKLOG 64
/* How long the lock of another supervisor is waited for: none ends slower than that once killed. */
#define LOCK_WAIT_NS (2 * CLOCK_NS_PER_S)

typedef struct client {
    lines lines;        /* fd -1: a free place */
    uint64_t ticket;    /* of the request under way; 0: none */
    uint64_t last_used; /* larger is later */
} client;

struct control_server {
    int fd, lock_fd;
    int spare_fd; /* given up for a moment when the process has no descriptor left */
    struct sockaddr_un address;
    void (*on_request)(void *opaque, uint64_t ticket, weir_str json);
    void *opaque;
    uint64_t next_ticket, uses;
    client clients[CONTROL_CLIENTS_MAX];
};

static weir_status prepare_folder(const char *folder, weir_error *err);
static weir_status take_lock(control_server *s, const char *folder, weir_error *err);
static weir_status take_socket(control_server *s, weir_error *err);
static void close_all(control_server *s);
static void accept_clients(control_server *s);
static void serve(control_server *s, client *c);

weir_status control_address(const char *folder, struct sockaddr_un *out, weir_error *err) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    int n = snprintf(out->sun_path, sizeof out->sun_path, "%s/%s", folder, CONTROL_SOCKET_NAME);
    if (n >= 0 && (size_t)n < sizeof out->sun_path) return WEIR_OK;
    error_set(err, WEIR_E_TOO_LARGE, WEIR_ERR_CONFIG,
              "the control socket %s/%s has a path of %d bytes, and a Unix socket may have %zu",
              folder, CONTROL_SOCKET_NAME, n, sizeof out->sun_path - 1);
    error_hint(err, "set WEIR_STATE to a folder with a shorter path");
    return WEIR_E_TOO_LARGE;
}

bool control_peer_trusted(int fd) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

control_server *control_listen(const char *folder,
                               void (*on_request)(void *opaque, uint64_t ticket, weir_str json),
                               void *opaque, weir_error *err) {
    control_server *s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    s->fd = s->lock_fd = s->spare_fd = -1;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) s->clients[i].lines.fd = -1;
    s->on_request = on_request;
    s->opaque = opaque;
    s->next_ticket = 1;
    weir_status status = control_address(folder, &s->address, err);
    if (status == WEIR_OK) status = prepare_folder(folder, err);
    if (status == WEIR_OK) status = take_lock(s, folder, err);
    if (status == WEIR_OK) status = take_socket(s, err);
    if (status != WEIR_OK) {
        close_all(s);
        mem_free(s);
        return NULL;
    }
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return s;
}

void control_close(control_server *s) {
    if (s == NULL) return;
    unlink(s->address.sun_path); /* the lock is still ours, so it is our socket */
    close_all(s);
    mem_free(s);
}

bool control_waiting(const control_server *s) {
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (lines_waiting(&s->clients[i].lines)) return true;
    return false;
}

void control_forget(control_server *s) {
    if (s == NULL) return;
    close_all(s);
    mem_free(s);
}

void control_answer(control_server *s, uint64_t ticket, weir_str json) {
    if (s == NULL || ticket == 0) return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        client *c = &s->clients[i];
        if (c->lines.fd < 0 || c->ticket != ticket) continue;
        c->ticket = 0;
        c->last_used = ++s->uses;
        if (!lines_send(&c->lines, (weir_str){"", 0}, json)) lines_close(&c->lines);
        return;
    }
}

nfds_t control_poll_fill(control_server *s, struct pollfd *fds, nfds_t max) {
    nfds_t n = 0;
    if (n < max) fds[n++] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX && n < max; i++) {
        client *c = &s->clients[i];
        if (c->lines.fd < 0) continue;
        short events = 0; /* POLLHUP and POLLERR come unasked */
        if (lines_waiting(&c->lines)) {
            events = POLLOUT;
        } else if (c->ticket == 0 && !c->lines.ended) {
            events = POLLIN;
        }
        fds[n++] = (struct pollfd){.fd = c->lines.fd, .events = events};
    }
    return n;
}

void control_poll_done(control_server *s, const struct pollfd *fds, nfds_t count) {
    bool knock = false;
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].revents == 0) continue;
        if (fds[i].fd == s->fd) {
            knock = true;
            continue;
        }
        for (unsigned k = 0; k < CONTROL_CLIENTS_MAX; k++) {
            client *c = &s->clients[k];
            if (c->lines.fd < 0 || c->lines.fd != fds[i].fd) continue;
            bool gone = (fds[i].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
            if (gone && (fds[i].revents & POLLIN) == 0) {
                lines_close(&c->lines);
                c->ticket = 0;
            }
            break;
        }
    }
    /* All of them: a line that waited behind an answer makes no event. */
    for (unsigned k = 0; k < CONTROL_CLIENTS_MAX; k++) serve(s, &s->clients[k]);
    if (knock) accept_clients(s); /* last: a new client may get a descriptor that just closed */
}

/* ---- taking the place ---- */

/* 0700 and ours: then nobody else can connect, whatever the socket's own mode is worth. */
static weir_status prepare_folder(const char *folder, weir_error *err) {
    weir_status status = os_make_dirs(folder, 0700, err);
    if (status != WEIR_OK) {
        error_hint(err, "WEIR_STATE names the folder where the state of pipelines is kept");
        return status;
    }
    char text[128];
    struct stat st;
    if (stat(folder, &st) != 0) {
        return error_set(err, WEIR_E_IO, 0, "%s: %s", folder,
                         os_strerror(errno, text, sizeof text));
    }
    if (st.st_uid != geteuid() && geteuid() != 0) {
        return error_set(err, WEIR_E_PERMISSION, WEIR_ERR_CONFIG,
                         "%s belongs to user %u, and this is user %u: another user's pipeline has "
                         "this name, or WEIR_STATE is another user's",
                         folder, (unsigned)st.st_uid, (unsigned)geteuid());
    }
    if ((st.st_mode & 077) != 0 && chmod(folder, st.st_mode & 0700) != 0) {
        return error_set(err, WEIR_E_PERMISSION, WEIR_ERR_CONFIG, "chmod 0700 %s: %s", folder,
                         os_strerror(errno, text, sizeof text));
    }
    return WEIR_OK;
}

static weir_status in_use(const char *folder, weir_error *err) {
    error_set(err, WEIR_E_EXISTS, 0,
              "this pipeline runs already: its control socket %s/%s is in use", folder,
              CONTROL_SOCKET_NAME);
    error_hint(err, "weir status shows it; a second one needs another name or another WEIR_STATE");
    return WEIR_E_EXISTS;
}

/* Of two that find a stale socket at the same time one wins. */
static weir_status take_lock(control_server *s, const char *folder, weir_error *err) {
    char path[4096], text[128];
    snprintf(path, sizeof path, "%s/%s", folder, CONTROL_LOCK_NAME);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        return error_set(err, errno == EACCES ? WEIR_E_PERMISSION : WEIR_E_IO, 0, "%s: %s", path,
                         os_strerror(errno, text, sizeof text));
    }
    /* A supervisor that was killed a moment ago holds it until the system is done with it. */
    int64_t give_up_ns = clock_mono_ns(&clock_system) + LOCK_WAIT_NS;
    int rc;
    while ((rc = flock(s->lock_fd, LOCK_EX | LOCK_NB)) != 0 && errno == EWOULDBLOCK &&
           clock_mono_ns(&clock_system) < give_up_ns) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * CLOCK_NS_PER_MS}, NULL);
    }
    if (rc == 0) return WEIR_OK;
    if (errno == EWOULDBLOCK) return in_use(folder, err);
    return error_set(err, WEIR_E_IO, 0, "lock %s: %s", path, os_strerror(errno, text, sizeof text));
}

static weir_status take_socket(control_server *s, weir_error *err) {
    const struct sockaddr *address = (const struct sockaddr *)&s->address;
    char text[128];
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0) {
        return error_set(err, WEIR_E_IO, 0, "no socket: %s", os_strerror(errno, text, sizeof text));
    }
    /* The lock says that nobody listens. A server on a file system without locks would say so
     * itself. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool live = probe >= 0 && (connect(probe, address, sizeof s->address) == 0 || errno == EAGAIN);
    if (probe >= 0) close(probe);
    if (live) {
        char folder[sizeof s->address.sun_path];
        weir_str dir = os_dirname(str_of(s->address.sun_path));
        snprintf(folder, sizeof folder, "%.*s", STR_FMT(dir));
        return in_use(folder, err);
    }
    if (unlink(s->address.sun_path) != 0 && errno != ENOENT) {
        return error_set(err, WEIR_E_IO, 0, "remove the old %s: %s", s->address.sun_path,
                         os_strerror(errno, text, sizeof text));
    }
    mode_t before = umask(0177); /* no moment with a wider mode */
    int code = bind(s->fd, address, sizeof s->address) == 0 ? 0 : errno;
    umask(before);
    if (code == 0 && listen(s->fd, BACKLOG) != 0) code = errno;
    if (code == 0) return WEIR_OK;
    return error_set(err, code == EACCES ? WEIR_E_PERMISSION : WEIR_E_IO, 0, "listen on %s: %s",
                     s->address.sun_path, os_strerror(code, text, sizeof text));
}

static void close_all(control_server *s) {
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) lines_close(&s->clients[i].lines);
    if (s->fd >= 0) close(s->fd);
    if (s->lock_fd >= 0) close(s->lock_fd);
    if (s->spare_fd >= 0) close(s->spare_fd);
}

/* ---- clients ---- */

/* A free place, else that of the client that has been idle longest; NULL if all wait for answers.
 */
static client *place(control_server *s) {
    client *idle = NULL;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        client *c = &s->clients[i];
        if (c->lines.fd < 0) return c;
        if (c->ticket == 0 && (idle == NULL || c->last_used < idle->last_used)) idle = c;
    }
    if (idle != NULL) lines_close(&idle->lines);
    return idle;
}

static void refuse(int fd, const char *why) {
    char json[160];
    int n = snprintf(json, sizeof json, "{\"error\":\"%s\"}\n", why);
    (void)!send(fd, json, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void accept_clients(control_server *s) {
    for (unsigned i = 0; i < BACKLOG; i++) {
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && s->spare_fd >= 0) {
            /* Left in the queue it would wake us again and again. */
            close(s->spare_fd);
            fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd >= 0) refuse(fd, "the supervisor has no file descriptor left");
            s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
            continue;
        }
        if (fd < 0) return;
        client *c = control_peer_trusted(fd) ? place(s) : NULL;
        if (c == NULL) {
            refuse(fd, control_peer_trusted(fd) ? "too many clients at once"
                                                : "this pipeline belongs to another user");
            continue;
        }
        lines_open(&c->lines, fd, CONTROL_REQUEST_MAX, ANSWER_MAX);
        c->ticket = 0;
        c->last_used = ++s->uses;
    }
}

static void send_error(client *c, const char *text) {
    char json[256];
    int n = snprintf(json, sizeof json, "{\"error\":\"%s\"}", text);
    lines_send(&c->lines, (weir_str){"", 0}, str_make(json, (size_t)n));
}

/* A request is one JSON object; what else it must be is for those who answer it. */
static void take_request(control_server *s, client *c, weir_str line) {
    weir_json_fault fault = {0};
    weir_json_doc *doc = weir_json_read(line, WEIR_JSON_UNIQUE_KEYS, &fault);
    bool object = doc != NULL && weir_json_root(doc)->type == WEIR_V_OBJECT;
    c->last_used = ++s->uses;
    if (object) {
        c->ticket = s->next_ticket++;
        s->on_request(s->opaque, c->ticket, line);
    } else if (doc != NULL) {
        send_error(c, "a request is one JSON object on a line");
    } else {
        char text[200];
        snprintf(text, sizeof text, "a request is one JSON object on a line: byte %" PRIu64 ": %s",
                 fault.offset, fault.text != NULL ? fault.text : "no JSON");
        /* The parser's texts are ours; none has a quote of this kind or a backslash in it. */
        for (char *at = text; *at != '\0'; at++)
            if (*at == '"' || *at == '\\') *at = '\'';
        send_error(c, text);
    }
    weir_json_free(doc);
}

static void serve(control_server *s, client *c) {
    lines *l = &c->lines;
    if (l->fd < 0) return;
    lines_flush(l);
    weir_str line;
    /* A whole line that is here already comes before new bytes. */
    for (int round = 0; round < 2; round++) {
        while (l->fd >= 0 && c->ticket == 0 && !lines_waiting(l) && lines_next(l, &line))
            take_request(s, c, line);
        if (l->fd < 0 || c->ticket != 0 || lines_waiting(l)) break;
        if (round == 0 && !l->ended) lines_receive(l);
    }
    if (l->fd >= 0 && l->too_big && c->ticket == 0 && !l->ended) {
        send_error(c, "a request is larger than 64 KiB");
        l->ended = true;
    }
    bool over = l->ended && c->ticket == 0 && !lines_waiting(l);
    if (l->fd >= 0 && (l->broken || over)) {
        lines_close(l);
        c->ticket = 0;
    }
}
