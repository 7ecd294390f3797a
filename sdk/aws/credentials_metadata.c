/*
 * Keys from services beside the process: the container's (ECS, EKS Pod Identity) and the instance's
 * (IMDSv2). Version 1 of the latter is not spoken: a request that a web application can be tricked
 * into sending must not hand out keys.
 */
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "credentials_fetch.h"
#include "token_file.h"
#include "weir/json.h"

#define JSON_NODES 128u
#define JSON_ROOM 32768u
#define IMDS_ROLES "/latest/meta-data/iam/security-credentials/"

enum { IMDS_TOKEN, IMDS_ROLE, IMDS_KEYS };

static bool container_ask(fetch_request *q, const aws_step *s, aws_problem *problem);
static fetch_result imds_answer(const aws_step *s, fetch_memory *m, const fetch_answer *a,
                                const char *origin, aws_identity *keys, aws_problem *problem);
static fetch_result refused(const char *what, const char *url, const fetch_answer *a,
                            const char *hint, aws_problem *problem);
static bool one_line(text *out, weir_str body);

typedef struct json_room {
    char *bytes;
    uint64_t used;
} json_room;
static char *json_alloc(void *opaque, uint64_t size);
static weir_value *json_grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *out);

bool metadata_ask(fetch_request *q, const aws_step *s, const fetch_memory *m,
                  aws_problem *problem) {
    static const weir_str ttl = {"21600", 5};
    q->direct = true;
    text_add_z(&q->url, s->url);
    if (s->kind == STEP_CONTAINER) return container_ask(q, s, problem);
    if (m->stage == IMDS_TOKEN) {
        q->method = "PUT";
        text_add_z(&q->url, "/latest/api/token");
        fetch_header(q, "x-aws-ec2-metadata-token-ttl-seconds", ttl);
        return true;
    }
    text_add_z(&q->url, IMDS_ROLES);
    if (m->stage == IMDS_KEYS) text_add_str(&q->url, text_str(&m->role));
    text_add_str(&q->secret, text_str(&m->token));
    fetch_header(q, "x-aws-ec2-metadata-token", text_str(&q->secret));
    return true;
}

fetch_result metadata_answer(const aws_step *s, fetch_memory *m, const fetch_answer *a,
                             const char *origin, aws_identity *keys, aws_problem *problem) {
    if (s->kind == STEP_IMDS) return imds_answer(s, m, a, origin, keys, problem);
    if (a->http_status != 200)
        return refused("the container service at", s->url, a,
                       "has the task or the service account a role, and is the authorization token "
                       "the right one?",
                       problem);
    text what = {0};
    text_add_z(&what, "the container service at ");
    text_add_z(&what, s->url);
    const char *z = text_z(&what);
    bool ok = keys_from_json(a->body, "Token", false, z ? z : "the container service", origin, keys,
                             problem);
    text_free(&what);
    return ok ? FETCH_KEYS : FETCH_FAILED;
}

static bool container_ask(fetch_request *q, const aws_step *s, aws_problem *problem) {
    fetch_header(q, "Accept", (weir_str){"application/json", 16});
    if (s->authorization) text_add_z(&q->secret, s->authorization);
    if (s->token_file) {
        text_add_f(&problem->words, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %.512s ",
                   s->token_file);
        bool ok = token_file_read(&q->secret, s->token_file, &problem->words);
        if (!ok && !q->secret.failed)
            return aws_refuse(problem, "credentials", "", "EKS mounts it; check the variable");
        text_clear(&problem->words);
    }
    if (q->secret.len > 0) fetch_header(q, "Authorization", text_str(&q->secret));
    return q->secret.failed ? aws_no_memory(problem) : true;
}

static fetch_result imds_answer(const aws_step *s, fetch_memory *m, const fetch_answer *a,
                                const char *origin, aws_identity *keys, aws_problem *problem) {
    static const char service[] = "the instance metadata service at";
    switch (m->stage) {
    case IMDS_TOKEN:
        if (a->http_status != 200)
            return refused(service, s->url, a, "it must offer version 2 (IMDSv2)", problem);
        text_clear(&m->token);
        if (!one_line(&m->token, a->body))
            return refused(service, s->url, a, "it gave no usable session token", problem);
        m->stage = IMDS_ROLE;
        return FETCH_MORE;
    case IMDS_ROLE:
    case IMDS_KEYS:
        if (a->http_status == 401) { /* the session token has run out */
            m->stage = IMDS_TOKEN;
            refused(service, s->url, a, "it does not take its own session token", problem);
            return FETCH_AGAIN;
        }
        if (a->http_status != 200)
            return refused(service, s->url, a,
                           a->http_status == 404 ? "give the instance a role (instance profile)"
                                                 : "try again later",
                           problem);
        break;
    }
    if (m->stage == IMDS_ROLE) {
        text_clear(&m->role);
        if (!one_line(&m->role, a->body))
            return refused(service, s->url, a, "it names no role", problem);
        m->stage = IMDS_KEYS;
        return FETCH_MORE;
    }
    text what = {0};
    text_add_z(&what, service);
    text_add_char(&what, ' ');
    text_add_z(&what, s->url);
    const char *z = text_z(&what);
    bool ok = keys_from_json(a->body, "Token", false, z ? z : service, origin, keys, problem);
    text_free(&what);
    return ok ? FETCH_KEYS : FETCH_FAILED;
}

/* Reports a status other than 200, or a 200 that says nothing. */
static fetch_result refused(const char *what, const char *url, const fetch_answer *a,
                            const char *hint, aws_problem *problem) {
    bool again = a->http_status == 429 || a->http_status >= 500;
    problem->status = a->http_status == 429 ? WEIR_E_THROTTLED : again ? WEIR_E_IO : WEIR_E_AUTH;
    problem->option = "credentials";
    text_clear(&problem->words);
    text_clear(&problem->hint);
    text_add_z(&problem->words, what);
    text_add_char(&problem->words, ' ');
    text_add_z(&problem->words, url);
    text_add_f(&problem->words, " answered with HTTP status %" PRIu32, a->http_status);
    text_add_z(&problem->hint, hint);
    return again ? FETCH_AGAIN : FETCH_FAILED;
}

/* A header's value or a part of a URL: the first line, without anything that would break it. */
static bool one_line(text *out, weir_str body) {
    uint64_t n = 0;
    while (n < body.len && (unsigned char)body.ptr[n] > ' ' && (unsigned char)body.ptr[n] < 127)
        n++;
    if (n == 0 || n > 4096) return false;
    text_add(out, body.ptr, (size_t)n);
    return !out->failed;
}

/* ---- JSON with keys ---- */

bool keys_from_json(weir_str body, const char *token_name, bool version, const char *what,
                    const char *origin, aws_identity *keys, aws_problem *problem) {
    /* Not weir_json_read: its copy of the text would stay in freed memory. */
    weir_value nodes[JSON_NODES];
    json_room room = {malloc(JSON_ROOM), 0};
    weir_json_parser parser = {.nodes = nodes,
                               .capacity = JSON_NODES,
                               .grow = json_grow,
                               .alloc = json_alloc,
                               .opaque = &room};
    if (!room.bytes) return aws_no_memory(problem);
    const char *wrong = NULL;
    weir_str id = {"", 0}, secret = id, token = id, expiration, code = id, message = id;
    int64_t expires = NEVER_US;
    if (weir_json_parse(&parser, body) != WEIR_OK || nodes[0].type != WEIR_V_OBJECT) {
        wrong = "the answer is not a JSON object";
    } else {
        id = weir_json_get_str(nodes, "AccessKeyId", "");
        secret = weir_json_get_str(nodes, "SecretAccessKey", "");
        token = weir_json_get_str(nodes, token_name, "");
        expiration = weir_json_get_str(nodes, "Expiration", "");
        code = weir_json_get_str(nodes, "Code", "");
        message = weir_json_get_str(nodes, "Message", "");
        if (version && weir_json_get_i64(nodes, "Version", 0) != 1) wrong = "Version is not 1";
        if (expiration.len) expires = aws_iso_time_us(expiration);
        if (expires == INT64_MIN) wrong = "Expiration is not a time";
        if (!id.len || !secret.len) wrong = "AccessKeyId or SecretAccessKey is missing";
        if (!aws_keys_are_clean(id, secret, token))
            wrong = "a key holds a line end or another character that none has";
        if (!version && code.len && !(code.len == 7 && memcmp(code.ptr, "Success", 7) == 0))
            wrong = "it has no keys";
    }
    bool ok = !wrong && aws_identity_set(keys, id, secret, token, origin, expires);
    if (!ok && !wrong) aws_no_memory(problem);
    if (wrong) {
        problem->status = WEIR_E_AUTH;
        problem->option = "credentials";
        text_add_z(&problem->words, what);
        text_add_z(&problem->words, ": ");
        text_add_z(&problem->words, wrong);
        if (code.len)
            text_add_f(&problem->words, " (%.*s%s%.*s)", (int)(code.len < 128 ? code.len : 128),
                       code.ptr, message.len ? ": " : "",
                       (int)(message.len < 512 ? message.len : 512), message.ptr);
        text_add_z(&problem->hint, "it gives AccessKeyId, SecretAccessKey, a token and Expiration");
    }
    weir_json_parser_free(&parser);
    OPENSSL_cleanse(nodes, sizeof nodes);
    OPENSSL_cleanse(room.bytes, JSON_ROOM);
    free(room.bytes);
    return ok;
}

static char *json_alloc(void *opaque, uint64_t size) {
    json_room *room = opaque;
    if (size > JSON_ROOM - room->used) return NULL;
    room->used += size;
    return room->bytes + room->used - size;
}

static weir_value *json_grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *out) {
    (void)opaque;
    (void)used;
    (void)capacity;
    (void)out;
    return NULL;
}

/* "2026-01-15T12:30:45", a fraction, then Z or an offset. */
int64_t aws_iso_time_us(weir_str s) {
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    char z[40];
    size_t n = sizeof shape - 1;
    if (s.len <= n || s.len >= sizeof z) return INT64_MIN;
    memcpy(z, s.ptr, (size_t)s.len);
    z[s.len] = '\0';
    for (size_t i = 0; i < n; i++) {
        bool digit = z[i] >= '0' && z[i] <= '9';
        if (shape[i] == 'd' ? !digit : z[i] != shape[i]) return INT64_MIN;
    }
    struct tm tm = {.tm_year = (int)strtol(z, NULL, 10) - 1900,
                    .tm_mon = (int)strtol(z + 5, NULL, 10) - 1,
                    .tm_mday = (int)strtol(z + 8, NULL, 10),
                    .tm_hour = (int)strtol(z + 11, NULL, 10),
                    .tm_min = (int)strtol(z + 14, NULL, 10),
                    .tm_sec = (int)strtol(z + 17, NULL, 10)};
    if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return INT64_MIN;
    const char *p = z + n;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9';) p++;
    int64_t offset_s = 0;
    if (*p == '+' || *p == '-') {
        for (int i = 1; i < 6; i++)
            if (i == 3 ? p[i] != ':' : p[i] < '0' || p[i] > '9') return INT64_MIN;
        offset_s =
            ((p[1] - '0') * 10 + (p[2] - '0')) * 3600 + ((p[4] - '0') * 10 + (p[5] - '0')) * 60;
        if (*p == '-') offset_s = -offset_s;
        p += 6;
    } else if (*p == 'Z') {
        p++;
    } else {
        return INT64_MIN;
    }
    if (*p != '\0') return INT64_MIN;
    return ((int64_t)timegm(&tm) - offset_s) * 1000000;
}
