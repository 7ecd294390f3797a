#define _GNU_SOURCE
#include "stub_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define REQUEST_MAX (256u * 1024u)

struct stub_server {
    int listener;
    char url[64];
    pthread_t acceptor;
    pthread_mutex_t lock; /* all below, and calls of `answer` */
    bool stopping;
    unsigned connections, requests;
    int fds[CONNECTIONS_MAX];
    pthread_t threads[CONNECTIONS_MAX];
    void (*answer)(void *opaque, const stub_request *request, stub_answer *out);
    void *opaque;
};

typedef struct connection {
    stub_server *server;
    int fd;
} connection;

static void *serve(void *opaque);
static void *accept_loop(void *opaque);
static bool serve_one(stub_server *s, int fd, char *buffer, size_t *have);
static bool send_all(int fd, const char *bytes, size_t len);

stub_server *stub_start(void (*answer)(void *, const stub_request *, stub_answer *), void *opaque) {
    stub_server *s = calloc(1, sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    s->answer = answer;
    s->opaque = opaque;
    pthread_mutex_init(&s->lock, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(s->listener, 64) != 0 || getsockname(s->listener, (struct sockaddr *)&a, &len) != 0)
        abort();
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", ntohs(a.sin_port));
    pthread_create(&s->acceptor, NULL, accept_loop, s);
    return s;
}

void stub_stop(stub_server *s) {
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (unsigned i = 0; i < s->connections; i++) shutdown(s->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->acceptor, NULL);
    for (unsigned i = 0; i < s->connections; i++) {
        pthread_join(s->threads[i], NULL);
        close(s->fds[i]);
    }
    close(s->listener);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *stub_url(const stub_server *s) {
    return s->url;
}

unsigned stub_connections(stub_server *s) {
    pthread_mutex_lock(&s->lock);
    unsigned n = s->connections;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void stub_text(stub_answer *out, int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vasprintf(&out->body, format, args);
    va_end(args);
    out->status = status;
    out->body_len = n > 0 ? (size_t)n : 0;
}

static void *accept_loop(void *opaque) {
    stub_server *s = opaque;
    for (;;) {
        int fd = accept(s->listener, NULL, NULL), on = 1;
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR)) continue;
        /* Header and body go out in two pieces: without this the second waits for an ACK. */
        if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_mutex_lock(&s->lock);
        bool stop = fd < 0 || s->stopping || s->connections == CONNECTIONS_MAX;
        if (!stop) {
            connection *c = malloc(sizeof *c);
            c->server = s;
            c->fd = fd;
            s->fds[s->connections] = fd;
            pthread_create(&s->threads[s->connections++], NULL, serve, c);
        } else if (fd >= 0) {
            close(fd);
        }
        pthread_mutex_unlock(&s->lock);
        if (stop) return NULL;
    }
}

static void *serve(void *opaque) {
    connection c = *(connection *)opaque;
    free(opaque);
    char *buffer = malloc(REQUEST_MAX + 1);
    size_t have = 0;
    while (serve_one(c.server, c.fd, buffer, &have)) continue;
    shutdown(c.fd, SHUT_RDWR); /* closed by stub_stop, so that the number is not used again */
    free(buffer);
    return NULL;
}

static bool serve_one(stub_server *s, int fd, char *buffer, size_t *have) {
    char *head_end;
    size_t body_len = 0, head_len;
    for (;;) {
        buffer[*have] = '\0';
        head_end = strstr(buffer, "\r\n\r\n");
        if (head_end) {
            head_len = (size_t)(head_end - buffer) + 4;
            char *length = strcasestr(buffer, "\r\nContent-Length:");
            body_len = length && length < head_end ? strtoul(length + 17, NULL, 10) : 0;
            if (*have >= head_len + body_len) break;
        }
        ssize_t n = recv(fd, buffer + *have, REQUEST_MAX - *have, 0);
        if (n <= 0) return false;
        *have += (size_t)n;
    }
    char *head = strndup(buffer, head_len), *body = malloc(body_len + 1);
    memcpy(body, buffer + head_len, body_len);
    body[body_len] = '\0';
    *have -= head_len + body_len;
    memmove(buffer, buffer + head_len + body_len, *have);

    char method[16] = "", path[1024] = "", target[128] = "";
    sscanf(head, "%15s %1023s", method, path);
    char *t = strcasestr(head, "\r\nX-Amz-Target:");
    if (t) sscanf(t + 15, " %127[^\r]", target);
    stub_request request = {method, path, target, head, body, body_len, 0};
    stub_answer answer = {.status = 200};
    pthread_mutex_lock(&s->lock);
    request.number = ++s->requests;
    s->answer(s->opaque, &request, &answer);
    pthread_mutex_unlock(&s->lock);
    bool go_on = answer.status > 0;
    if (answer.status == -1) {
        char c;
        while (recv(fd, &c, 1, 0) > 0) continue; /* until the client gives up */
    } else if (go_on) {
        char line[1024];
        int n =
            snprintf(line, sizeof line,
                     "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nx-amzn-RequestId: req-%u\r\n%s\r\n",
                     answer.status, answer.body_len, request.number, answer.headers);
        go_on = send_all(fd, line, (size_t)n) && send_all(fd, answer.body, answer.body_len);
    }
    free(answer.body);
    free(head);
    free(body);
    return go_on;
}

static bool send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}
