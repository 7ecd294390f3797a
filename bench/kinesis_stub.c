/*
 * bench/kinesis_stub.c - a Kinesis endpoint that is never the slow side.
 *
 *     kinesis_stub [--shards N] [--records N] [--calls N] [--port-file FILE]
 *
 * Serves one stream with N closed shards (4), each of which answers `calls` GetRecords requests
 * (100) with `records` records (1,000) of bench/records.h and then ends. Bodies are rendered once,
 * as JSON and as CBOR, before the first request; a call only patches the sequence numbers and the
 * next iterator, which have a fixed width. Plain HTTP/1.1 with keep-alive, a thread a connection,
 * loopback, a port of the system's choice. It prints {"port": P} when ready and, on SIGTERM, how
 * many records, calls and bytes it served, so that a run that lost some shows.
 *
 * It knows what a polling consumer asks for: ListShards, DescribeStream, DescribeStreamSummary,
 * GetShardIterator, GetRecords. It is not a test double for anything else: nothing is verified.
 */
#define _GNU_SOURCE /* memmem, accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "records.h"

#define SEQUENCE_DIGITS 56
#define ITERATOR_LEN 24 /* "s0003-c0000000042-000000" */
#define HEAD_MAX 16384
#define ARRIVAL_MS UINT64_C(1767225600000) /* every record arrived at one moment of the past */

static unsigned shards = 4, records_per_call = 1000, calls_per_shard = 100;
static atomic_uint_fast64_t served_records, served_bytes, served_calls;

/* ---- a growing text; the maximum is what a real answer may hold, twice ---- */

typedef struct text {
    char *data;
    size_t len, room;
} text;

static void die(const char *what) {
    fprintf(stderr, "kinesis_stub: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static void text_add(text *t, const void *data, size_t len) {
    if (t->len + len > t->room) {
        t->room = (t->len + len) * 2;
        t->data = realloc(t->data, t->room);
        if (!t->data) die("memory");
    }
    memcpy(t->data + t->len, data, len);
    t->len += len;
}

static void text_adds(text *t, const char *s) {
    text_add(t, s, strlen(s));
}

/* ---- the two pre-rendered bodies ---- */

typedef struct body {
    const char *content_type;
    text bytes;
    size_t *sequence_at; /* offset of each record's sequence number */
    size_t iterator_at;  /* offset of the next iterator, quotes or head not included */
    size_t cut_at;       /* with the last call of a shard, the body ends here ... */
    const char *tail;    /* ... and continues with this: no next iterator */
    size_t tail_len;
} body;

static body json_body, cbor_body;

static void base64_add(text *t, const unsigned char *in, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        unsigned left = (unsigned)(len - i < 3 ? len - i : 3);
        unsigned v = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                     (left > 2 ? in[i + 2] : 0);
        char out[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                       left > 2 ? digits[v & 63] : '='};
        text_add(t, out, 4);
    }
}

static void render_json(void) {
    body *b = &json_body;
    text *t = &b->bytes;
    b->content_type = "application/x-amz-json-1.1";
    b->sequence_at = calloc(records_per_call, sizeof *b->sequence_at);
    text_adds(t, "{\"Records\":[");
    for (unsigned i = 0; i < records_per_call; i++) {
        char record[BENCH_RECORD_MAX], line[256];
        size_t len = bench_record(i, record);
        text_adds(t, i ? ",{\"Data\":\"" : "{\"Data\":\"");
        base64_add(t, (unsigned char *)record, len);
        int n = snprintf(line, sizeof line,
                         "\",\"PartitionKey\":\"key-%03u\",\"ApproximateArrivalTimestamp\":%" PRIu64
                         ".%03u,\"SequenceNumber\":\"",
                         i % 1000, ARRIVAL_MS / 1000, (unsigned)(ARRIVAL_MS % 1000));
        text_add(t, line, (size_t)n);
        b->sequence_at[i] = t->len;
        snprintf(line, sizeof line, "%0*d", SEQUENCE_DIGITS, 0);
        text_adds(t, line);
        text_adds(t, "\"}");
    }
    /* A day behind until the last call, else a reader that stops at "now" stops in the middle. */
    text_adds(t, "],\"MillisBehindLatest\":");
    b->cut_at = t->len;
    b->tail = "0}";
    b->tail_len = 2;
    text_adds(t, "86400000,\"NextShardIterator\":\"");
    b->iterator_at = t->len;
    text_adds(t, "s0000-c0000000000-000000\"}");
}

/* Head of a CBOR item: major type and a length of up to 32 bits. */
static void cbor_head(text *t, unsigned major, uint32_t n) {
    unsigned char h[5] = {(unsigned char)(major << 5)};
    size_t size = 1;
    if (n < 24) {
        h[0] |= (unsigned char)n;
    } else if (n < 256) {
        h[0] |= 24, h[1] = (unsigned char)n, size = 2;
    } else if (n < 65536) {
        h[0] |= 25, h[1] = (unsigned char)(n >> 8), h[2] = (unsigned char)n, size = 3;
    } else {
        h[0] |= 26;
        for (int i = 0; i < 4; i++) h[1 + i] = (unsigned char)(n >> (24 - 8 * i));
        size = 5;
    }
    text_add(t, h, size);
}

static void cbor_text(text *t, const char *s) {
    cbor_head(t, 3, (uint32_t)strlen(s));
    text_adds(t, s);
}

static void render_cbor(void) {
    body *b = &cbor_body;
    text *t = &b->bytes;
    b->content_type = "application/x-amz-cbor-1.1";
    b->sequence_at = calloc(records_per_call, sizeof *b->sequence_at);
    text_add(t, "\xbf", 1); /* a map of indefinite length, as the service sends it */
    cbor_text(t, "Records");
    cbor_head(t, 4, records_per_call);
    for (unsigned i = 0; i < records_per_call; i++) {
        char record[BENCH_RECORD_MAX], key[16];
        size_t len = bench_record(i, record);
        cbor_head(t, 5, 4);
        cbor_text(t, "Data");
        cbor_head(t, 2, (uint32_t)len);
        text_add(t, record, len);
        cbor_text(t, "PartitionKey");
        snprintf(key, sizeof key, "key-%03u", i % 1000);
        cbor_text(t, key);
        cbor_text(t, "ApproximateArrivalTimestamp");
        unsigned char stamp[10] = {0xc1, 0x1b}; /* tag 1, 64-bit integer: milliseconds */
        for (int k = 0; k < 8; k++) stamp[2 + k] = (unsigned char)(ARRIVAL_MS >> (56 - 8 * k));
        text_add(t, stamp, sizeof stamp);
        cbor_text(t, "SequenceNumber");
        cbor_head(t, 3, SEQUENCE_DIGITS);
        b->sequence_at[i] = t->len;
        char zeros[SEQUENCE_DIGITS];
        memset(zeros, '0', sizeof zeros);
        text_add(t, zeros, sizeof zeros);
    }
    cbor_text(t, "MillisBehindLatest");
    b->cut_at = t->len;
    b->tail = "\x00\xff";
    b->tail_len = 2;
    cbor_head(t, 0, 86400000);
    cbor_text(t, "NextShardIterator");
    cbor_head(t, 3, ITERATOR_LEN);
    b->iterator_at = t->len;
    text_adds(t, "s0000-c0000000000-000000");
    text_add(t, "\xff", 1);
}

/* Sequence numbers rise by one a record, over all calls of a shard; digits from the right. */
static void write_sequence(char *at, uint64_t n) {
    memset(at, '0', SEQUENCE_DIGITS);
    memcpy(at, "49", 2);
    for (int i = SEQUENCE_DIGITS - 1; n; n /= 10) at[i--] = (char)('0' + n % 10);
}

/* ---- one connection ---- */

typedef struct connection {
    int fd;
    char in[HEAD_MAX];
    size_t have;
    text bodies[2]; /* its own copies of the two bodies, made at the first use: they are patched */
} connection;

static bool send_all(int fd, struct iovec *parts, int count) {
    while (count > 0) {
        ssize_t n = writev(fd, parts, count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++, count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return true;
}

static bool answer(connection *c, const char *status, const char *type, struct iovec *parts,
                   int count) {
    size_t len = 0;
    for (int i = 1; i < count; i++) len += parts[i].iov_len;
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nx-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\n"
                     "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                     status, type, len);
    parts[0] = (struct iovec){head, (size_t)n};
    return send_all(c->fd, parts, count);
}

static bool answer_text(connection *c, const char *status, const char *json) {
    struct iovec parts[2] = {{NULL, 0}, {(void *)(uintptr_t)json, strlen(json)}};
    return answer(c, status, json_body.content_type, parts, 2);
}

/* A consumer that asked in CBOR gets control answers in CBOR too: the same JSON text, translated.
 * Only objects, arrays, strings without escapes and integers occur. */
static const char *json_to_cbor(text *out, const char *p) {
    if (*p == '{' || *p == '[') {
        bool object = *p++ == '{';
        text_add(out, object ? "\xbf" : "\x9f", 1);
        while (*p != '}' && *p != ']') {
            if (*p == ',' || *p == ':') p++;
            p = json_to_cbor(out, p);
        }
        text_add(out, "\xff", 1);
        return p + 1;
    }
    if (*p == '"') {
        const char *end = strchr(p + 1, '"');
        cbor_head(out, 3, (uint32_t)(end - p - 1));
        text_add(out, p + 1, (size_t)(end - p - 1));
        return end + 1;
    }
    char *end;
    cbor_head(out, 0, (uint32_t)strtoul(p, &end, 10));
    return end == p ? p + 1 : end;
}

static bool answer_control(connection *c, bool cbor, const text *json) {
    text out = {0};
    struct iovec parts[2] = {{NULL, 0}, {json->data, json->len - 1}};
    if (cbor) {
        json_to_cbor(&out, json->data);
        parts[1] = (struct iovec){out.data, out.len};
    }
    bool ok = answer(c, "200 OK", (cbor ? &cbor_body : &json_body)->content_type, parts, 2);
    free(out.data);
    return ok;
}

static void add_shards(text *t) {
    for (unsigned i = 0; i < shards; i++) {
        char line[512];
        char first[SEQUENCE_DIGITS + 1] = {0}, last[SEQUENCE_DIGITS + 1] = {0};
        write_sequence(first, 0);
        write_sequence(last, (uint64_t)calls_per_shard * records_per_call + 1);
        /* Hash key ranges need not be exact: a reader only compares them. */
        snprintf(line, sizeof line,
                 "%s{\"ShardId\":\"shardId-%012u\",\"HashKeyRange\":{\"StartingHashKey\":\"%u\","
                 "\"EndingHashKey\":\"%u\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":"
                 "\"%s\",\"EndingSequenceNumber\":\"%s\"}}",
                 i ? "," : "", i, i * 1000, i * 1000 + 999, first, last);
        text_adds(t, line);
    }
}

static bool serve_control(connection *c, const char *operation, bool cbor, const char *request,
                          size_t request_len) {
    static const char stream[] = "\"StreamName\":\"bench\",\"StreamARN\":\"arn:aws:kinesis:"
                                 "us-east-1:000000000000:stream/bench\",\"StreamStatus\":"
                                 "\"ACTIVE\",\"RetentionPeriodHours\":24";
    text out = {0};
    if (strcmp(operation, "ListShards") == 0) {
        text_adds(&out, "{\"Shards\":[");
        add_shards(&out);
        text_adds(&out, "]}");
    } else if (strcmp(operation, "DescribeStreamSummary") == 0) {
        text_adds(&out, "{\"StreamDescriptionSummary\":{");
        text_adds(&out, stream);
        text_adds(&out, ",\"OpenShardCount\":0}}");
    } else if (strcmp(operation, "DescribeStream") == 0) {
        text_adds(&out, "{\"StreamDescription\":{");
        text_adds(&out, stream);
        text_adds(&out, ",\"Shards\":[");
        add_shards(&out);
        text_adds(&out, "]}}");
    } else if (strcmp(operation, "GetShardIterator") == 0) {
        const char *id = memmem(request, request_len, "shardId-", 8);
        unsigned shard =
            id && id + 20 <= request + request_len ? (unsigned)strtoul(id + 8, NULL, 10) : 0;
        char line[128];
        snprintf(line, sizeof line, "{\"ShardIterator\":\"s%04u-c%010u-000000\"}", shard % 10000,
                 0);
        text_adds(&out, line);
    } else {
        free(out.data);
        return answer_text(c, "400 Bad Request", "{\"__type\":\"UnknownOperationException\"}");
    }
    text_add(&out, "", 1); /* the translator reads to the NUL; answer_control leaves it out */
    bool ok = answer_control(c, cbor, &out);
    free(out.data);
    return ok;
}

static bool serve_records(connection *c, bool cbor, const char *request, size_t request_len) {
    const body *b = cbor ? &cbor_body : &json_body;
    text *mine = &c->bodies[cbor];
    if (!mine->data) text_add(mine, b->bytes.data, b->bytes.len);

    /* "s0003-c0000000042-000000" wherever it stands in the request. */
    const char *it = memmem(request, request_len, "-c", 2);
    if (!it || it - request < 5 || it + 12 > request + request_len)
        return answer_text(c, "400 Bad Request", "{\"__type\":\"InvalidArgumentException\"}");
    unsigned shard = (unsigned)strtoul(it - 4, NULL, 10);
    unsigned call = (unsigned)strtoul(it + 2, NULL, 10);
    if (call >= calls_per_shard)
        return answer_text(c, "400 Bad Request", "{\"__type\":\"InvalidArgumentException\"}");

    uint64_t sequence = (uint64_t)call * records_per_call + 1;
    for (unsigned i = 0; i < records_per_call; i++)
        write_sequence(mine->data + b->sequence_at[i], sequence + i);
    char next[ITERATOR_LEN + 1];
    snprintf(next, sizeof next, "s%04u-c%010u-000000", shard % 10000, call + 1);
    memcpy(mine->data + b->iterator_at, next, ITERATOR_LEN);

    bool last = call + 1 == calls_per_shard;
    struct iovec parts[3] = {{NULL, 0},
                             {mine->data, last ? b->cut_at : mine->len},
                             {(void *)(uintptr_t)b->tail, last ? b->tail_len : 0}};
    bool ok = answer(c, "200 OK", b->content_type, parts, 3);
    if (ok) {
        atomic_fetch_add(&served_records, records_per_call);
        atomic_fetch_add(&served_bytes, parts[1].iov_len);
        atomic_fetch_add(&served_calls, 1);
    }
    return ok;
}

/* Value of a header in a head that ends in an empty line, or NULL. */
static const char *header(const char *head, const char *name) {
    size_t len = strlen(name);
    for (const char *p = head; (p = strchr(p, '\n')) != NULL;) {
        p++;
        if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
            p += len + 1;
            while (*p == ' ') p++;
            return p;
        }
    }
    return NULL;
}

static bool serve_one(connection *c) {
    char *end;
    while ((end = memmem(c->in, c->have, "\r\n\r\n", 4)) == NULL) {
        if (c->have == sizeof c->in - 1) return false;
        ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - 1 - c->have, 0);
        if (n <= 0) return false;
        c->have += (size_t)n;
    }
    size_t head_len = (size_t)(end - c->in) + 4;
    end[2] = '\0';
    const char *length = header(c->in, "Content-Length");
    const char *target = header(c->in, "X-Amz-Target");
    const char *type = header(c->in, "Content-Type");
    size_t want = length ? (size_t)strtoul(length, NULL, 10) : 0;
    if (head_len + want > sizeof c->in - 1) return false;
    while (c->have < head_len + want) {
        ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - 1 - c->have, 0);
        if (n <= 0) return false;
        c->have += (size_t)n;
    }

    char operation[64] = "";
    if (target) {
        const char *dot = strpbrk(target, ".\r");
        if (dot && *dot == '.') {
            size_t n = strcspn(dot + 1, "\r\n ");
            if (n < sizeof operation) memcpy(operation, dot + 1, n), operation[n] = '\0';
        }
    }
    bool cbor = type && strncmp(type, "application/x-amz-cbor", 22) == 0;
    const char *request = c->in + head_len;
    bool ok = strcmp(operation, "GetRecords") == 0
                  ? serve_records(c, cbor, request, want)
                  : serve_control(c, operation, cbor, request, want);
    c->have -= head_len + want;
    memmove(c->in, c->in + head_len + want, c->have);
    return ok;
}

static void *serve_connection(void *arg) {
    connection *c = arg;
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (serve_one(c)) {}
    close(c->fd);
    free(c->bodies[0].data);
    free(c->bodies[1].data);
    free(c);
    return NULL;
}

/* ---- start and end ---- */

static void *accept_connections(void *arg) {
    int listener = *(const int *)arg;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        connection *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (!c) die("memory");
        c->fd = fd;
        if (pthread_create(&thread, NULL, serve_connection, c) != 0) die("thread");
        pthread_detach(thread);
    }
    return NULL;
}

static unsigned number(const char *name, const char *value, unsigned max) {
    char *end = NULL;
    unsigned long n = value ? strtoul(value, &end, 10) : 0;
    if (n == 0 || n > max || *end != '\0') {
        fprintf(stderr, "kinesis_stub: %s wants a number from 1 to %u\n", name, max);
        exit(2);
    }
    return (unsigned)n;
}

int main(int argc, char **argv) {
    const char *port_file = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--shards") == 0) {
            shards = number(argv[i], value, 1000);
        } else if (strcmp(argv[i], "--records") == 0) {
            records_per_call = number(argv[i], value, 8000);
        } else if (strcmp(argv[i], "--calls") == 0) {
            calls_per_shard = number(argv[i], value, 10000000);
        } else if (strcmp(argv[i], "--port-file") == 0 && value) {
            port_file = value;
        } else {
            fprintf(stderr, "usage: kinesis_stub [--shards N] [--records N] [--calls N] "
                            "[--port-file FILE]\n");
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    render_json();
    render_cbor();

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    if (listener < 0 || bind(listener, (struct sockaddr *)&here, size) != 0 ||
        listen(listener, 128) != 0 || getsockname(listener, (struct sockaddr *)&here, &size) != 0)
        die("listen");
    pthread_t acceptor;
    if (pthread_create(&acceptor, NULL, accept_connections, &listener) != 0) die("thread");

    if (port_file) {
        FILE *f = fopen(port_file, "w");
        if (!f || fprintf(f, "%u\n", ntohs(here.sin_port)) < 0 || fclose(f) != 0) die(port_file);
    }
    printf("{\"port\": %u}\n", ntohs(here.sin_port));
    fflush(stdout);

    int signal_number;
    sigwait(&stop, &signal_number);
    printf("{\"records\": %" PRIu64 ", \"calls\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n",
           (uint64_t)atomic_load(&served_records), (uint64_t)atomic_load(&served_calls),
           (uint64_t)atomic_load(&served_bytes));
    fflush(stdout);
    _exit(0); /* connection threads may still write; nothing of theirs is needed */
}
