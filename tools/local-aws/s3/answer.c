/*
 * Answers: errors with their ids, and the XML that everything else is written in.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "admin/faults.h"
#include "s3/call.h"
#include "weir/json.h"
#include "xml.h"

#define NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

/* ---- XML ---- */

void s3_xml_begin(buf *b, const char *name) {
    buf_printf(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"" NAMESPACE "\">", name);
}

void s3_xml_open(buf *b, const char *name) {
    buf_printf(b, "<%s>", name);
}

void s3_xml_close(buf *b, const char *name) {
    buf_printf(b, "</%s>", name);
}

void s3_xml_put(buf *b, const char *name, weir_str text) {
    s3_xml_open(b, name);
    /* No byte takes more than six ("&quot;"). */
    if (text.len > S3_XML_MAX / 6 || !buf_reserve(b, (size_t)text.len * 6)) {
        b->failed = true;
        return;
    }
    weir_xml_writer w;
    weir_xml_writer_init(&w, b->data + b->len, text.len * 6);
    weir_xml_put_text(&w, text);
    b->len += (size_t)w.len;
    b->data[b->len] = 0;
    s3_xml_close(b, name);
}

void s3_xml_z(buf *b, const char *name, const char *text) {
    s3_xml_put(b, name, str_of(text));
}

void s3_xml_u64(buf *b, const char *name, uint64_t v) {
    buf_printf(b, "<%s>%" PRIu64 "</%s>", name, v, name);
}

void s3_xml_bool(buf *b, const char *name, bool v) {
    s3_xml_z(b, name, v ? "true" : "false");
}

void s3_xml_time(buf *b, const char *name, int64_t ms) {
    char text[S3_TIME_TEXT];
    s3_time_iso(ms, text);
    s3_xml_z(b, name, text);
}

void s3_xml_etag(buf *b, const char *etag) {
    buf_printf(b, "<ETag>&quot;%s&quot;</ETag>", etag);
}

void s3_xml_sum(buf *b, const checksum *sum) {
    if (sum->algorithm == SUM_NONE) return;
    char text[SUM_TEXT_MAX];
    sum_text(sum, text);
    s3_xml_z(b, sum_element(sum->algorithm), text);
}

void s3_xml_owner(s3_call *call, const char *name) {
    s3_xml_open(&call->xml, name);
    s3_xml_z(&call->xml, "ID", local_settings(call->s->home)->account);
    s3_xml_close(&call->xml, name);
}

static bool plain_in_url(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '*' || c == '/';
}

void s3_xml_key(buf *b, const char *name, weir_str key, bool url) {
    if (!url) {
        s3_xml_put(b, name, key);
        return;
    }
    s3_xml_open(b, name);
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char)key.ptr[i];
        if (plain_in_url(c))
            buf_append_char(b, (char)c);
        else if (c == ' ')
            buf_append_char(b, '+');
        else
            buf_printf(b, "%%%02X", c);
    }
    s3_xml_close(b, name);
}

/* ---- times ---- */

void s3_time_iso(int64_t ms, char out[S3_TIME_TEXT]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, S3_TIME_TEXT, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}

void s3_time_http(int64_t ms, char out[S3_TIME_TEXT]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, S3_TIME_TEXT, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

bool s3_time_read(weir_str text, int64_t *ms) {
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S +0000"};
    char z[64];
    if (text.len == 0 || text.len >= sizeof z) return false;
    memcpy(z, text.ptr, (size_t)text.len);
    z[text.len] = 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(z, forms[i], &tm);
        if (!end || *end) continue;
        *ms = (int64_t)timegm(&tm) * 1000;
        return true;
    }
    int64_t us;
    if (!str_to_time_us(text, &us)) return false;
    *ms = us / 1000;
    return true;
}

/* ---- ends ---- */

static void put_ids(s3_call *call) {
    exchange_header(call->x, "x-amz-request-id", str_of(call->request_id));
    exchange_header(call->x, "x-amz-id-2", str_of(call->host_id));
}

/* What the service does while a slow operation works: white space keeps the connection alive. */
static void put_blanks(s3_call *call) {
    static const char blank[] = "\n        \n        ";
    int64_t left = faults_number(call->x, "white_space", 0);
    while (left > 0) {
        size_t n = left < (int64_t)sizeof blank - 1 ? (size_t)left : sizeof blank - 1;
        exchange_refer(call->x, blank, n, NULL, NULL);
        left -= (int64_t)n;
    }
}

void s3_detail(s3_call *call, const char *name, weir_str value) {
    s3_xml_put(&call->detail, name, value);
}

void s3_detail_z(s3_call *call, const char *name, const char *value) {
    s3_xml_z(&call->detail, name, value);
}

void s3_detail_u64(s3_call *call, const char *name, uint64_t value) {
    s3_xml_u64(&call->detail, name, value);
}

void s3_fail_text(s3_call *call, const s3_error *e, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* What could not be read for want of memory is not the client's fault. */
    if (call->no_memory) {
        e = &S3_INTERNAL_ERROR;
        n = -1;
        buf_reset(&call->detail);
    }
    exchange *x = call->x;
    exchange_reset(x);
    exchange_status(x, e->status);
    put_ids(call);
    if (call->bucket) exchange_header(x, "x-amz-bucket-region", str_of(call->bucket->region));
    exchange_header(x, "content-type", STR("application/xml"));
    buf *b = &call->xml;
    buf_reset(b);
    buf_append_z(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    s3_xml_z(b, "Code", e->code);
    s3_xml_z(b, "Message", n < 0 ? e->message : text);
    if (buf_ok(&call->detail) && call->detail.len) buf_append_str(b, buf_str(&call->detail));
    s3_xml_z(b, "RequestId", call->request_id);
    s3_xml_z(b, "HostId", call->host_id);
    s3_xml_close(b, "Error");
    if (e->status == 200) put_blanks(call);
    if (buf_ok(b)) exchange_copy(x, b->data, b->len);
    exchange_send(x);
}

void s3_fail(s3_call *call, const s3_error *e) {
    s3_fail_text(call, e, "%s", e->message);
}

void s3_fail_argument(s3_call *call, const char *name, weir_str value, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s3_detail_z(call, "ArgumentName", name);
    s3_detail(call, "ArgumentValue", value);
    s3_fail_text(call, &S3_INVALID_ARGUMENT, "%s", n < 0 ? S3_INVALID_ARGUMENT.message : text);
}

void s3_end(s3_call *call, unsigned status) {
    exchange_status(call->x, status);
    put_ids(call);
    exchange_send(call->x);
}

void s3_end_xml(s3_call *call) {
    if (!buf_ok(&call->xml)) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    put_ids(call);
    exchange_header(call->x, "content-type", STR("application/xml"));
    put_blanks(call);
    exchange_copy(call->x, call->xml.data, call->xml.len);
    exchange_send(call->x);
}
