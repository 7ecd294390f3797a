/*
 * One socket: which protocol it speaks, and bytes in and out. Clear text and TLS differ here only.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/internal.h"

#define IN_ROOM ((size_t)64 << 10)
#define VECTORS 64
#define READS_A_ROUND 32
#define TLS_RECORD 16384u

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

bool connection_out(connection *c, const void *bytes, size_t len) {
    segment *s = segment_copy(bytes, len);
    if (!s) return false;
    bool ok = slices_push(&c->out, s, 0, len);
    segment_drop(s);
    return ok;
}

void connection_ready(connection *c) {
    if (c->ready || c->dead) return;
    c->ready = true;
    c->next_ready = c->srv->ready;
    c->srv->ready = c;
}

static void watch(connection *c, uint32_t events) {
    if (c->events == events) return;
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(c->srv->epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->events = events;
}

void connection_accept(server *s) {
    for (;;) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        connection *c = NULL;
        if (s->connection_count < s->options.limits.connections) c = mem_zalloc(sizeof *c);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (!c || !(c->in = mem_alloc(IN_ROOM)) ||
            epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
            if (c) mem_free(c->in);
            mem_free(c);
            close(fd);
            continue;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->srv = s;
        c->number = ++s->connections_ever;
        c->fd = fd;
        c->events = EPOLLIN;
        c->in_room = IN_ROOM;
        c->sniffed = s->tls == NULL;
        c->tls_done = c->sniffed;
        c->next = s->connections;
        if (c->next) c->next->previous = c;
        s->connections = c;
        s->connection_count++;
        if (s->conduct.idle_ms) connection_ready(c);
    }
}

void connection_close(connection *c) {
    if (c->dead) return;
    c->dead = true;
    server *s = c->srv;
    server_timer_free(c->idle);
    server_timer_free(c->reading);
    if (c->previous)
        c->previous->next = c->next;
    else
        s->connections = c->next;
    if (c->next) c->next->previous = c->previous;
    s->connection_count--;
    if (c->reset_after) {
        struct linger l = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    } else if (c->tls && c->tls_done) {
        SSL_shutdown(c->tls); /* says goodbye; the answer is not waited for */
    }
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    while (c->exchanges) exchange_lost(c->exchanges);
    c->next = s->graves;
    s->graves = c;
}

/* Only here is a connection's memory freed: events of the same round may still name it. */
void connection_bury(server *s) {
    connection *next;
    for (connection *c = s->graves; c; c = next) {
        next = c->next;
        h2_free(c);
        h1_free(c);
        if (c->tls) SSL_free(c->tls);
        close(c->fd);
        slices_free(&c->out);
        mem_free(c->in);
        mem_free(c);
    }
    s->graves = NULL;
}

/* ---- reading ---- */

enum { IO_AGAIN = -1, IO_FAILED = -2 };

static ssize_t get(connection *c, char *to, size_t room) {
    if (c->tls) {
        ERR_clear_error();
        int n = SSL_read(c->tls, to, room > 1 << 30 ? 1 << 30 : (int)room);
        if (n > 0) return n;
        int why = SSL_get_error(c->tls, n);
        if (why == SSL_ERROR_ZERO_RETURN) return 0;
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? IO_AGAIN : IO_FAILED;
    }
    ssize_t n = recv(c->fd, to, room, 0);
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_FAILED;
}

#define TLS_HANDSHAKE 0x16 /* begins a TLS record, and no method of HTTP */

/* With a certificate the first byte tells. */
static bool sniff(connection *c) {
    unsigned char first;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
    if (n < 0) return false;
    if (n == 0) {
        connection_close(c);
        return false;
    }
    c->sniffed = true;
    c->tls_done = true;
    if (first != TLS_HANDSHAKE) return true;
    c->tls_done = false;
    c->tls = SSL_new(c->srv->tls);
    if (!c->tls || SSL_set_fd(c->tls, c->fd) != 1) {
        connection_close(c);
        return false;
    }
    SSL_set_accept_state(c->tls);
    return true;
}

static bool handshake(connection *c) {
    ERR_clear_error();
    int n = SSL_do_handshake(c->tls);
    if (n == 1) {
        const unsigned char *name;
        unsigned len;
        SSL_get0_alpn_selected(c->tls, &name, &len);
        c->tls_done = true;
        if (len == 2) {
            c->protocol = WIRE_H2;
            if (!h2_start(c)) {
                connection_close(c);
                return false;
            }
        }
        return true;
    }
    int why = SSL_get_error(c->tls, n);
    if (why == SSL_ERROR_WANT_READ)
        watch(c, EPOLLIN);
    else if (why == SSL_ERROR_WANT_WRITE)
        watch(c, EPOLLOUT);
    else
        connection_close(c);
    return false;
}

/* Waiting for the end of a line that never comes would leave the client waiting as well. */
static void refuse_tls(connection *c) {
    server *s = c->srv;
    if (!s->told_tls && s->options.on_tls_without_certificate)
        s->options.on_tls_without_certificate();
    s->told_tls = true;
    connection_close(c);
}

/* The preface of HTTP/2 begins with what no request of HTTP/1.1 does. */
static void recognise(connection *c) {
    size_t n = c->in_len < sizeof preface - 1 ? c->in_len : sizeof preface - 1;
    if (n == 0) return;
    if (!c->srv->tls && (unsigned char)c->in[0] == TLS_HANDSHAKE) {
        refuse_tls(c);
        return;
    }
    if (memcmp(c->in, preface, n) != 0) {
        c->protocol = WIRE_H1;
    } else if (n == sizeof preface - 1) {
        c->protocol = WIRE_H2;
        if (!h2_start(c)) connection_close(c);
    }
}

static void digest(connection *c) {
    if (c->protocol == WIRE_UNKNOWN) recognise(c);
    if (c->dead) return;
    if (c->protocol == WIRE_H1) {
        h1_advance(c);
    } else if (c->protocol == WIRE_H2 && c->in_len) {
        size_t n = c->in_len;
        c->in_len = 0;
        if (!h2_input(c, c->in, n)) {
            c->refused = true;
            c->close_after = true;
        }
    }
}

static bool wants_input(const connection *c) {
    if (c->dead || c->read_closed || c->refused) return false;
    if (c->srv->conduct.read_bytes && c->reading && !c->allowance) return false;
    if (c->protocol == WIRE_H1) return h1_wants_input(c);
    return true;
}

static void read_all(connection *c);

/* What TLS holds already is announced by no event: it is asked at once. */
static void read_on(void *opaque) {
    connection *c = opaque;
    c->allowance = c->srv->conduct.read_bytes;
    read_all(c);
    connection_ready(c);
}

static void read_all(connection *c) {
    for (int round = 0; wants_input(c) && (round < READS_A_ROUND || c->tls); round++) {
        size_t room = 0;
        char *body = c->protocol == WIRE_H1 ? h1_body_room(c, &room) : NULL;
        char *to = body ? body : c->in + c->in_len;
        if (!body) {
            if (c->in_len == c->in_room) {
                char *more = mem_realloc(c->in, c->in_room * 2);
                if (!more) {
                    connection_close(c);
                    return;
                }
                c->in = more;
                c->in_room *= 2;
                to = c->in + c->in_len;
            }
            room = c->in_room - c->in_len;
        }
        uint32_t pace = c->srv->conduct.read_bytes;
        if (pace && !c->reading && (c->reading = server_timer_new(c->srv, read_on, c)))
            c->allowance = pace;
        if (pace && c->reading && room > c->allowance) room = c->allowance;
        ssize_t n = get(c, to, room);
        if (n == IO_AGAIN) break;
        if (pace && c->reading && n > 0 && !(c->allowance -= (uint32_t)n))
            server_timer_set(c->reading, c->srv->conduct.read_every_ms);
        if (n == IO_FAILED) {
            connection_close(c);
            return;
        }
        if (n == 0) {
            c->read_closed = true;
            if (c->protocol != WIRE_H1 || c->h1.current == NULL) {
                connection_close(c);
                return;
            }
        } else if (body) {
            h1_body_read(c, (size_t)n);
        } else {
            c->in_len += (size_t)n;
        }
        digest(c);
        if (!c->tls && (size_t)n < room) break;
    }
}

/* ---- conduct ---- */

bool conduct_last_answer(connection *c) {
    uint32_t last = c->srv->conduct.close_after;
    return ++c->answers >= last && last;
}

/* Closed with bytes unread, which makes the system answer them with a reset. */
static bool dropped(connection *c) {
    server_conduct *conduct = &c->srv->conduct;
    char first;
    if (!conduct->drop_after || c->answers < conduct->drop_after || c->exchanges || c->in_len ||
        recv(c->fd, &first, 1, MSG_PEEK) <= 0)
        return false;
    if (conduct->drop_count && --conduct->drop_count == 0) conduct->drop_after = 0;
    c->reset_after = true;
    connection_close(c);
    return true;
}

static void end_idle(void *opaque) {
    connection *c = opaque;
    c->idle_set = false;
    if (!c->srv->conduct.idle_ms || c->exchanges || c->in_len) return;
    c->close_after = true;
    connection_ready(c);
}

static void watch_idle(connection *c) {
    bool idle = c->srv->conduct.idle_ms && !c->exchanges && !c->in_len;
    if (idle == c->idle_set) return;
    if (!c->idle && !(c->idle = server_timer_new(c->srv, end_idle, c))) return;
    c->idle_set = idle;
    if (idle)
        server_timer_set(c->idle, c->srv->conduct.idle_ms);
    else
        server_timer_clear(c->idle);
}

void connection_event(connection *c, uint32_t events) {
    if (c->dead) return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        /* What has arrived before the reset is of no use: nobody would get the answer. */
        connection_close(c);
        return;
    }
    if (!c->sniffed && !sniff(c)) return;
    if (!c->tls_done && !handshake(c)) return;
    if ((events & EPOLLIN) && dropped(c)) return;
    if (events & EPOLLIN) read_all(c);
    connection_ready(c);
}

/* ---- writing ---- */

static ssize_t put_clear(connection *c) {
    struct iovec v[VECTORS];
    int count = 0;
    for (uint32_t i = 0; i < c->out.count && count < VECTORS; i++) {
        slice *s = slices_at(&c->out, i);
        v[count].iov_base = (char *)(uintptr_t)(s->of->bytes + s->at);
        v[count++].iov_len = s->len;
    }
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_FAILED;
}

/* Small slices are gathered to one record. A record that could not be written is offered again from
 * the same place and at least as long, as OpenSSL demands, since the queue only grows behind. */
static ssize_t put_tls(connection *c) {
    char gathered[TLS_RECORD];
    slice *first = slices_at(&c->out, 0);
    const char *from = first->of->bytes + first->at;
    size_t len = first->len;
    if (len < TLS_RECORD && c->out.count > 1) {
        len = 0;
        for (uint32_t i = 0; i < c->out.count && len < TLS_RECORD; i++) {
            slice *s = slices_at(&c->out, i);
            size_t take = s->len < TLS_RECORD - len ? s->len : TLS_RECORD - len;
            memcpy(gathered + len, s->of->bytes + s->at, take);
            len += take;
        }
        from = gathered;
    }
    ERR_clear_error();
    int n = SSL_write(c->tls, from, len > 1 << 20 ? 1 << 20 : (int)len);
    if (n > 0) return n;
    int why = SSL_get_error(c->tls, n);
    return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? IO_AGAIN : IO_FAILED;
}

static bool pump(connection *c) {
    if (c->protocol == WIRE_H2) return h2_pump(c);
    /* Advancing may take the next pipelined request and answer it at once. */
    if (c->protocol == WIRE_H1) h1_advance(c);
    return true;
}

void connection_serve(connection *c) {
    bool blocked = false;
    for (;;) {
        if (c->dead) return;
        if (!pump(c)) {
            c->refused = true;
            c->close_after = true;
        }
        if (c->dead || !c->out.bytes || blocked) break;
        while (c->out.bytes) {
            ssize_t n = c->tls ? put_tls(c) : put_clear(c);
            if (n == IO_FAILED) {
                connection_close(c);
                return;
            }
            if (n == IO_AGAIN) {
                blocked = true;
                break;
            }
            slices_take(&c->out, (size_t)n);
        }
        if (blocked) break;
    }
    if (!c->out.bytes && c->close_after) {
        connection_close(c);
        return;
    }
    watch_idle(c);
    if (!c->tls_done) return;
    uint32_t events = blocked ? (uint32_t)EPOLLOUT : 0u;
    if (wants_input(c)) events |= EPOLLIN;
    watch(c, events);
}
