/* CBOR from values. The reader is in cbor.c. */
#include <string.h>

#include "cbor.h"

#define HEAD_MAX 9u
#define MAJOR_UNSIGNED 0u
#define MAJOR_NEGATIVE 1u
#define MAJOR_BYTES 2u
#define MAJOR_TEXT 3u
#define MAJOR_ARRAY 4u
#define MAJOR_MAP 5u
#define MAJOR_TAG 6u

static void put(weir_cbor_writer *w, const void *bytes, uint64_t len);
static void put_byte(weir_cbor_writer *w, uint8_t byte);
static void put_head(weir_cbor_writer *w, uint32_t major, uint64_t value);
static void put_eight(uint8_t *out, uint64_t v);
static void add_segment(weir_cbor_writer *w, const char *ptr, uint64_t len);
static void cut(weir_cbor_writer *w);

void weir_cbor_writer_init(weir_cbor_writer *w, char *out, uint64_t capacity) {
    memset(w, 0, sizeof *w);
    w->out = out;
    w->capacity = capacity;
}

void weir_cbor_writer_segments(weir_cbor_writer *w, weir_str *segments, uint32_t capacity) {
    w->segments = segments;
    w->segment_capacity = capacity;
    w->by_reference = true;
}

bool weir_cbor_writer_ok(const weir_cbor_writer *w) {
    return w->len <= w->capacity && w->segment_count <= w->segment_capacity;
}

void weir_cbor_put_array(weir_cbor_writer *w, uint64_t count) {
    put_head(w, MAJOR_ARRAY, count);
}

void weir_cbor_put_map(weir_cbor_writer *w, uint64_t count) {
    put_head(w, MAJOR_MAP, count);
}

void weir_cbor_put_array_open(weir_cbor_writer *w) {
    put_byte(w, 0x9f);
}

void weir_cbor_put_map_open(weir_cbor_writer *w) {
    put_byte(w, 0xbf);
}

void weir_cbor_put_break(weir_cbor_writer *w) {
    put_byte(w, 0xff);
}

void weir_cbor_put_u64(weir_cbor_writer *w, uint64_t v) {
    put_head(w, MAJOR_UNSIGNED, v);
}

void weir_cbor_put_i64(weir_cbor_writer *w, int64_t v) {
    /* -1 - v is the complement, which has no overflow. */
    if (v < 0)
        put_head(w, MAJOR_NEGATIVE, ~(uint64_t)v);
    else
        put_head(w, MAJOR_UNSIGNED, (uint64_t)v);
}

void weir_cbor_put_f64(weir_cbor_writer *w, double v) {
    uint8_t bytes[HEAD_MAX] = {0xfb};
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_eight(bytes + 1, bits);
    put(w, bytes, sizeof bytes);
}

void weir_cbor_put_bool(weir_cbor_writer *w, bool v) {
    put_byte(w, v ? 0xf5 : 0xf4);
}

void weir_cbor_put_null(weir_cbor_writer *w) {
    put_byte(w, 0xf6);
}

void weir_cbor_put_text(weir_cbor_writer *w, weir_str s) {
    put_head(w, MAJOR_TEXT, s.len);
    put(w, s.ptr, s.len);
}

void weir_cbor_put_z(weir_cbor_writer *w, const char *z) {
    weir_cbor_put_text(w, (weir_str){z, strlen(z)});
}

void weir_cbor_put_bytes(weir_cbor_writer *w, weir_str s) {
    put_head(w, MAJOR_BYTES, s.len);
    put(w, s.ptr, s.len);
}

void weir_cbor_put_bytes_ref(weir_cbor_writer *w, weir_str s) {
    if (!w->by_reference || s.len < WEIR_CBOR_REF_MIN) {
        weir_cbor_put_bytes(w, s);
        return;
    }
    put_head(w, MAJOR_BYTES, s.len);
    cut(w);
    add_segment(w, s.ptr, s.len);
    w->total += s.len;
}

void weir_cbor_put_tag(weir_cbor_writer *w, uint64_t tag) {
    put_head(w, MAJOR_TAG, tag);
}

void weir_cbor_put_time_ms(weir_cbor_writer *w, int64_t epoch_ms) {
    weir_cbor_put_tag(w, 1);
    weir_cbor_put_i64(w, epoch_ms);
}

/* Nodes stand in the order in which their heads are written, and lengths are known: one pass from
 * the first to the last does it, without a stack. */
void weir_cbor_put_value(weir_cbor_writer *w, const weir_value *v) {
    const weir_value *end = weir_value_next(v);
    for (; v < end; v++) {
        switch (v->type) {
        case WEIR_V_BOOL:
            weir_cbor_put_bool(w, v->as.u64 != 0);
            break;
        case WEIR_V_I64:
            if (v->logical == WEIR_L_TIMESTAMP_US) {
                int64_t ms = v->as.i64 / 1000;
                weir_cbor_put_time_ms(w, v->as.i64 % 1000 < 0 ? ms - 1 : ms);
            } else {
                weir_cbor_put_i64(w, v->as.i64);
            }
            break;
        case WEIR_V_U64:
            weir_cbor_put_u64(w, v->as.u64);
            break;
        case WEIR_V_F64:
            weir_cbor_put_f64(w, v->as.f64);
            break;
        case WEIR_V_STRING:
            weir_cbor_put_text(w, weir_value_str(v));
            break;
        case WEIR_V_BYTES:
            weir_cbor_put_bytes_ref(w, weir_value_str(v));
            break;
        case WEIR_V_ARRAY:
            weir_cbor_put_array(w, v->size);
            break;
        case WEIR_V_OBJECT:
            weir_cbor_put_map(w, v->size);
            break;
        default:
            weir_cbor_put_null(w);
            break;
        }
    }
}

void weir_cbor_end(weir_cbor_writer *w) {
    if (w->by_reference) cut(w);
}

static void put(weir_cbor_writer *w, const void *bytes, uint64_t len) {
    if (len > 0 && w->len <= w->capacity && len <= w->capacity - w->len)
        memcpy(w->out + w->len, bytes, (size_t)len);
    w->len += len;
    w->total += len;
}

static void put_byte(weir_cbor_writer *w, uint8_t byte) {
    put(w, &byte, 1);
}

static void put_head(weir_cbor_writer *w, uint32_t major, uint64_t value) {
    uint8_t head[HEAD_MAX];
    uint8_t first = (uint8_t)(major << 5);
    uint32_t len;
    if (value < 24) {
        head[0] = (uint8_t)(first | value);
        len = 1;
    } else if (value <= UINT8_MAX) {
        head[0] = first | 24;
        head[1] = (uint8_t)value;
        len = 2;
    } else if (value <= UINT16_MAX) {
        head[0] = first | 25;
        head[1] = (uint8_t)(value >> 8);
        head[2] = (uint8_t)value;
        len = 3;
    } else if (value <= UINT32_MAX) {
        head[0] = first | 26;
        for (int i = 0; i < 4; i++) head[1 + i] = (uint8_t)(value >> (24 - 8 * i));
        len = 5;
    } else {
        head[0] = first | 27;
        put_eight(head + 1, value);
        len = HEAD_MAX;
    }
    put(w, head, len);
}

static void put_eight(uint8_t *out, uint64_t v) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* What was written since the last segment becomes one. */
static void cut(weir_cbor_writer *w) {
    if (w->len == w->segment_begin) return;
    /* A buffer that was too small has no such bytes; the count goes on. */
    const char *begin = w->len <= w->capacity ? w->out + w->segment_begin : NULL;
    add_segment(w, begin, w->len - w->segment_begin);
    w->segment_begin = w->len;
}

static void add_segment(weir_cbor_writer *w, const char *ptr, uint64_t len) {
    if (w->segment_count < w->segment_capacity)
        w->segments[w->segment_count] = (weir_str){ptr, len};
    w->segment_count++;
}
