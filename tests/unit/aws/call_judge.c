/*
 * weir/aws.h on a command line of its own, so that tests can hold its calls against real servers:
 *
 *   call_judge SERVICE OPTION=VALUE...        options of the aws group,
 * "credentials.provider=basic"
 *
 * reads a call a line as JSON, {"method", "operation", "bucket", "path", "query", "headers",
 * "body" (base64), "segments", "payload", "trailer": [name, value], "target", "flags",
 * "path_style", "attempts", "stream": take the answer as an event stream, "stop": end it behind so
 * many events}, waits for it, and writes a line of JSON: {"kind", "http", "code",
 * "message", "hint", "error", "attempts", "body" (base64), "etag", ...}. Events of a stream are
 * lines of their own before it: {"event", "message", "payload" (base64)}. "segments": the body is
 * sent in so many pieces. Not a test by itself.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/eventstream.h"
#include "fake_host.h"
#include "weir/aws.h"
#include "weir/json.h"
#include "weir/sdk.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define OPTIONS_MAX 32
#define HEADERS_MAX 32
#define SEGMENTS_MAX 1000

typedef struct reply {
    bool done;
    char *out;
    weir_aws_client *client;
    fake_host *host;
    weir_es_reader events;
    char *room;
    int64_t stop; /* events until the stream is ended from here; 0 = never */
} reply;

static void put(char **at, const char *name, weir_str value) {
    *at += sprintf(*at, "\"%s\":", name);
    *at += weir_json_write_str(value, *at);
    *(*at)++ = ',';
}

static void on_done(void *opaque, const weir_aws_response *r) {
    reply *p = opaque;
    static const char *const sums[] = {"etag",
                                       "x-amz-checksum-crc32",
                                       "x-amz-checksum-crc32c",
                                       "x-amz-checksum-sha256",
                                       "content-encoding",
                                       "location"};
    char *body = malloc((size_t)r->body.len * 2 + 8);
    p->out = malloc((size_t)r->body.len * 2 + 65536);
    if (!body || !p->out) abort();
    char *at = p->out;
    at += sprintf(at, "{\"kind\":%u,\"http\":%u,\"attempts\":%u,", r->kind, r->http_status,
                  r->attempts);
    put(&at, "code", r->code);
    put(&at, "message", r->message);
    put(&at, "hint", r->hint);
    put(&at, "request_id", r->request_id);
    put(&at, "operation", r->operation);
    if (r->kind != WEIR_AWS_OK) {
        weir_aws_fail(fake_ctx(p->host), fake_error(p->host), p->client, r, "the call failed");
        const char *text = fake_error_text(p->host);
        put(&at, "error", (weir_str){text, strlen(text)});
    }
    for (size_t i = 0; r->http && i < sizeof sums / sizeof sums[0]; i++) {
        weir_str v = weir_http_header_value(r->http, sums[i]);
        if (v.ptr) put(&at, sums[i], v);
    }
    put(&at, "body", (weir_str){body, weir_base64_encode(r->body, body)});
    at[-1] = '}';
    *at = '\0';
    free(body);
    p->done = true;
}

static char *room(void *opaque, uint64_t size) {
    reply *p = opaque;
    free(p->room);
    return p->room = malloc((size_t)size);
}

static weir_status on_data(void *opaque, weir_str bytes) {
    reply *p = opaque;
    weir_es_frame frame;
    weir_status status;
    weir_es_feed(&p->events, bytes);
    while ((status = weir_es_next(&p->events, &frame)) == WEIR_OK) {
        weir_str kind = weir_es_header_str(&frame, ":message-type"),
                 type = weir_es_header_str(&frame, ":event-type"),
                 exception = weir_es_header_str(&frame, ":exception-type");
        if (exception.ptr) type = exception;
        char *payload = malloc((size_t)frame.payload.len * 2 + 8);
        if (!payload) abort();
        printf("{\"message\":\"%.*s\",\"event\":\"%.*s\",\"payload\":\"%.*s\"}\n", (int)kind.len,
               kind.ptr, (int)type.len, type.ptr, (int)weir_base64_encode(frame.payload, payload),
               payload);
        fflush(stdout);
        free(payload);
        if (p->stop && --p->stop == 0) return WEIR_E_CANCELLED;
    }
    return status == WEIR_AGAIN ? WEIR_OK : status;
}

/* A copy with a NUL; NULL for an empty one. */
static char *text_of(const weir_value *in, const char *name) {
    weir_str s = weir_json_get_str(in, name, "");
    char *copy = s.len > 0 ? calloc(1, (size_t)s.len + 1) : NULL;
    if (copy) memcpy(copy, s.ptr, (size_t)s.len);
    return copy;
}

static weir_str item(const weir_value *array, uint64_t index) {
    return weir_value_str(weir_value_element(array, index));
}

static void run(reply *p, const weir_value *in) {
    weir_http_header headers[HEADERS_MAX];
    weir_str segments[SEGMENTS_MAX];
    weir_str encoded = weir_json_get_str(in, "body", "");
    char *body = malloc((size_t)encoded.len + 1);
    if (!body) abort();
    uint64_t size = weir_base64_decode(encoded, body);
    uint32_t pieces = (uint32_t)weir_json_get_i64(in, "segments", 0), count = 0;
    for (uint32_t i = 0; i < pieces && i < SEGMENTS_MAX; i++) {
        uint64_t from = size * i / pieces;
        segments[i] = (weir_str){body + from, size * (i + 1) / pieces - from};
    }
    const weir_value *h = weir_json_get(in, "headers"), *t = weir_json_get(in, "trailer");
    for (; h && count < HEADERS_MAX && 2 * count < h->size; count++)
        headers[count] = (weir_http_header){item(h, 2 * count), item(h, 2 * count + 1)};
    char *method = text_of(in, "method"), *target = text_of(in, "target"),
         *operation = text_of(in, "operation");
    weir_aws_rest rest = {.operation = operation ? operation : "S3.Call",
                          .method = method,
                          .bucket = weir_json_get_str(in, "bucket", ""),
                          .path = weir_json_get_str(in, "path", ""),
                          .query = weir_json_get_str(in, "query", ""),
                          .headers = headers,
                          .header_count = count,
                          .segments = segments,
                          .segment_count = pieces,
                          .payload = (uint32_t)weir_json_get_i64(in, "payload", 0),
                          .path_style = (uint32_t)weir_json_get_i64(in, "path_style", 0)};
    if (t) rest.trailer = (weir_http_header){item(t, 0), item(t, 1)};
    weir_aws_call_args args = {.target = target,
                               .rest = method ? &rest : NULL,
                               .body = {body, pieces ? 0 : size},
                               .attempts = (uint32_t)weir_json_get_i64(in, "attempts", 3),
                               .timeout_ms = 600000,
                               .flags = (uint32_t)weir_json_get_i64(in, "flags", 0),
                               .done = on_done,
                               .data = weir_json_get_bool(in, "stream", 0) ? on_data : NULL,
                               .opaque = p};
    if (weir_aws_call(p->client, &args) != WEIR_OK) {
        puts("{\"kind\":99}");
    } else {
        while (!p->done) weir_aws_drive(p->client, weir_mono_ns(fake_ctx(p->host)) + 1000000000);
        puts(p->out);
    }
    fflush(stdout);
    free(p->room);
    free(p->out);
    free(body);
    free(method);
    free(target);
    free(operation);
}

int main(int argc, char **argv) {
    fake_option options[OPTIONS_MAX + 1] = {{NULL, NULL}};
    if (argc < 2 || argc - 2 > OPTIONS_MAX) return 2;
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) return 2;
        *equals = '\0';
        options[i - 2] = (fake_option){argv[i], equals + 1};
    }
    fake_host *host = fake_host_new(options);
    weir_aws_client_args args = {.service = argv[1]};
    weir_aws_client *client;
    if (weir_aws_client_new(fake_ctx(host), &args, fake_error(host), &client) != WEIR_OK) {
        fprintf(stderr, "%s\n", fake_error_text(host));
        return 1;
    }
    char *line = malloc(LINE_MAX_BYTES);
    if (!line) abort();
    while (fgets(line, (int)LINE_MAX_BYTES, stdin)) {
        weir_json_doc *doc = weir_json_read((weir_str){line, strlen(line)}, 0, NULL);
        if (!doc) return 2;
        reply p = {.client = client, .host = host, .events = {.room = room}};
        p.events.opaque = &p;
        p.stop = weir_json_get_i64(weir_json_root(doc), "stop", 0);
        run(&p, weir_json_root(doc));
        weir_json_free(doc);
    }
    free(line);
    weir_aws_client_free(client);
    fake_host_free(host);
    return 0;
}
