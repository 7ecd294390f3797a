#include "server/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/internal.h"

#define EVENTS_A_ROUND 256

static bool listen_on(server *s, char *error, size_t error_size) {
    const char *address = s->options.address ? s->options.address : "127.0.0.1";
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)s->options.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    if (getaddrinfo(address, port, &hints, &found) != 0) {
        snprintf(error, error_size, "cannot listen on '%s': expected an IPv4 or IPv6 address",
                 address);
        return false;
    }
    s->listener = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    bool ok = s->listener >= 0 &&
              setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
              bind(s->listener, found->ai_addr, found->ai_addrlen) == 0 &&
              listen(s->listener, 1024) == 0;
    if (!ok)
        snprintf(error, error_size, "cannot listen on %s port %s: %s", address, port,
                 strerror(errno));
    freeaddrinfo(found);
    return ok;
}

static bool add_to_epoll(server *s, int fd, void *what) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void default_limits(server_limits *l) {
    if (!l->head_bytes) l->head_bytes = (size_t)64 << 10;
    if (!l->body_bytes) l->body_bytes = sizeof(size_t) == 8 ? (size_t)5 << 30 : (size_t)1 << 30;
    if (!l->connections) l->connections = 4096;
    if (!l->streams) l->streams = 256;
}

static void ignore_sigpipe(void) {
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}

server *server_new(const server_options *options, char *error, size_t error_size) {
    server *s = mem_zalloc(sizeof *s);
    if (!s) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    s->options = *options;
    default_limits(&s->options.limits);
    s->listener = -1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (options->cert) {
        s->tls = tls_context(options->cert, options->key, error, error_size);
        if (!s->tls) goto fail;
    }
    if (!listen_on(s, error, error_size)) goto fail;
    if (s->epoll < 0 || s->wake < 0 || !add_to_epoll(s, s->listener, &s->listener) ||
        !add_to_epoll(s, s->wake, &s->wake)) {
        snprintf(error, error_size, "cannot wait for events: %s", strerror(errno));
        goto fail;
    }
    ignore_sigpipe();
    return s;
fail:
    server_free(s);
    return NULL;
}

void server_close_all(server *s) {
    if (s->listener >= 0) close(s->listener);
    s->listener = -1;
    while (s->connections) connection_close(s->connections);
    s->ready = NULL;
    connection_bury(s);
}

void server_free(server *s) {
    if (!s) return;
    server_close_all(s);
    timers_free(s);
    if (s->tls) SSL_CTX_free(s->tls);
    if (s->epoll >= 0) close(s->epoll);
    if (s->wake >= 0) close(s->wake);
    mem_free(s);
}

void server_set_conduct(server *s, const server_conduct *conduct) {
    s->conduct = *conduct;
}

uint16_t server_port(const server *s) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    memset(&a, 0, sizeof a);
    socklen_t len = sizeof a;
    if (getsockname(s->listener, &a.any, &len) != 0) return 0;
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

static void serve_ready(server *s) {
    while (s->ready) {
        connection *c = s->ready;
        s->ready = c->next_ready;
        c->ready = false;
        connection_serve(c);
    }
}

void server_run(server *s) {
    struct epoll_event events[EVENTS_A_ROUND];
    s->stopping = false;
    while (!s->stopping) {
        int64_t wait = timers_next_ms(s);
        int n = epoll_wait(s->epoll, events, EVENTS_A_ROUND, wait > 60000 ? 60000 : (int)wait);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &s->listener) {
                connection_accept(s);
            } else if (what == &s->wake) {
                uint64_t count;
                if (read(s->wake, &count, sizeof count) == sizeof count) s->stopping = true;
            } else {
                connection_event(what, events[i].events);
            }
        }
        timers_fire(s);
        serve_ready(s);
        connection_bury(s);
    }
}

void server_stop(server *s) {
    uint64_t one = 1;
    ssize_t n = write(s->wake, &one, sizeof one);
    (void)n; /* a counter that is full wakes too */
}

static void write_date(int64_t second, char *out, size_t size) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)second;
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

const char *server_date(server *s, int64_t offset_ms) {
    int64_t told_ms = server_told_ms(s);
    if (offset_ms) {
        write_date((told_ms + offset_ms) / 1000, s->other_date, sizeof s->other_date);
        return s->other_date;
    }
    if (told_ms / 1000 != s->date_second || !s->date[0]) {
        s->date_second = told_ms / 1000;
        write_date(s->date_second, s->date, sizeof s->date);
    }
    return s->date;
}
