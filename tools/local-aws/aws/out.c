#include <inttypes.h>

#include "aws/aws.h"
#include "aws/shell.h"
#include "cbor.h"

/* CBOR is written item by item into the same buffer: containers are of indefinite length, so that
 * nothing need be counted before it is written. */

static void cbor(aws_out *o, void (*put)(weir_cbor_writer *w, const void *arg), const void *arg,
                 size_t room) {
    if (!buf_reserve(&o->text, room)) return;
    weir_cbor_writer w;
    weir_cbor_writer_init(&w, o->text.data + o->text.len, room);
    put(&w, arg);
    o->text.len += (size_t)w.len;
}

static void put_text(weir_cbor_writer *w, const void *arg) {
    weir_cbor_put_text(w, *(const weir_str *)arg);
}
static void put_bytes(weir_cbor_writer *w, const void *arg) {
    weir_cbor_put_bytes(w, *(const weir_str *)arg);
}
static void put_i64(weir_cbor_writer *w, const void *arg) {
    weir_cbor_put_i64(w, *(const int64_t *)arg);
}
static void put_time(weir_cbor_writer *w, const void *arg) {
    weir_cbor_put_time_ms(w, *(const int64_t *)arg);
}
static void put_bool(weir_cbor_writer *w, const void *arg) {
    weir_cbor_put_bool(w, *(const bool *)arg);
}
static void put_null(weir_cbor_writer *w, const void *arg) {
    (void)arg;
    weir_cbor_put_null(w);
}
static void put_map(weir_cbor_writer *w, const void *arg) {
    (void)arg;
    weir_cbor_put_map_open(w);
}
static void put_array(weir_cbor_writer *w, const void *arg) {
    (void)arg;
    weir_cbor_put_array_open(w);
}
static void put_break(weir_cbor_writer *w, const void *arg) {
    (void)arg;
    weir_cbor_put_break(w);
}

/* What stands before a value: a comma, the member's name. */
static void before(aws_out *o, const char *name) {
    if (o->encoding == AWS_CBOR) {
        weir_str n = str_of(name);
        if (name) cbor(o, put_text, &n, (size_t)n.len + 9);
        return;
    }
    if (o->comma) buf_append_char(&o->text, ',');
    o->comma = true;
    if (!name) return;
    buf_append_char(&o->text, '"');
    buf_append_z(&o->text, name);
    buf_append(&o->text, "\":", 2);
}

void aws_out_init(aws_out *o, aws_encoding encoding, size_t max) {
    buf_init(&o->text, max);
    o->encoding = encoding;
    o->comma = false;
}

void aws_out_open(aws_out *o, const char *name) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_map, NULL, 9);
    else
        buf_append_char(&o->text, '{');
    o->comma = false;
}

void aws_out_close(aws_out *o) {
    if (o->encoding == AWS_CBOR)
        cbor(o, put_break, NULL, 9);
    else
        buf_append_char(&o->text, '}');
    o->comma = true;
}

void aws_out_open_array(aws_out *o, const char *name) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_array, NULL, 9);
    else
        buf_append_char(&o->text, '[');
    o->comma = false;
}

void aws_out_close_array(aws_out *o) {
    if (o->encoding == AWS_CBOR)
        cbor(o, put_break, NULL, 9);
    else
        buf_append_char(&o->text, ']');
    o->comma = true;
}

void aws_out_str(aws_out *o, const char *name, weir_str value) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_text, &value, (size_t)value.len + 9);
    else
        buf_append_json(&o->text, value);
}

void aws_out_z(aws_out *o, const char *name, const char *value) {
    aws_out_str(o, name, str_of(value));
}

void aws_out_i64(aws_out *o, const char *name, int64_t value) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_i64, &value, 16);
    else
        buf_printf(&o->text, "%" PRId64, value);
}

void aws_out_bool(aws_out *o, const char *name, bool value) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_bool, &value, 16);
    else
        buf_append_z(&o->text, value ? "true" : "false");
}

void aws_out_null(aws_out *o, const char *name) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_null, NULL, 16);
    else
        buf_append_z(&o->text, "null");
}

void aws_out_blob(aws_out *o, const char *name, weir_str bytes) {
    before(o, name);
    if (o->encoding == AWS_CBOR) {
        cbor(o, put_bytes, &bytes, (size_t)bytes.len + 9);
        return;
    }
    size_t room = 4 * (((size_t)bytes.len + 2) / 3);
    if (!buf_reserve(&o->text, room + 2)) return;
    buf_append_char(&o->text, '"');
    o->text.len += (size_t)weir_base64_encode(bytes, o->text.data + o->text.len);
    buf_append_char(&o->text, '"');
}

void aws_out_time_ms(aws_out *o, const char *name, int64_t ms) {
    before(o, name);
    if (o->encoding == AWS_CBOR)
        cbor(o, put_time, &ms, 24);
    else
        buf_printf(&o->text, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}
