/* Event-stream frames. */
#include "eventstream.h"

#include <string.h>

#include "crc32.h"
#include "weir/json.h" /* weir_utf8_span */

#define VALUE_WRITE_MAX 32767u /* of BYTES and STRING, by the specification */
#define UUID_LEN 16u

static weir_status take_whole(weir_es_reader *r, weir_es_frame *out);
static weir_status take_held(weir_es_reader *r, weir_es_frame *out);
static weir_status read_prelude(weir_es_reader *r, const char *prelude, uint64_t *total);
static weir_status read_frame(weir_es_reader *r, const char *whole, uint64_t total,
                              weir_es_frame *out);
static const char *check_headers(weir_es_frame *frame);
static const char *read_header(weir_str headers, uint64_t *at, weir_es_header *out);
static void hold(weir_es_reader *r, char *into, uint64_t want);
static weir_status refuse(weir_es_reader *r, const char *text);
static uint64_t value_size(const weir_es_header *h);
static char *put(char *out, const char *bytes, uint64_t len);
static char *put_number(char *out, uint64_t v, uint32_t bytes);
static uint64_t get_number(const char *p, uint32_t bytes);

void weir_es_feed(weir_es_reader *r, weir_str piece) {
    r->piece = piece;
}

weir_status weir_es_next(weir_es_reader *r, weir_es_frame *out) {
    if (r->fault) return WEIR_E_DATA;
    if (r->given) {
        r->held = NULL;
        r->held_len = r->total = 0;
        r->given = false;
    }
    return r->held_len > 0 ? take_held(r, out) : take_whole(r, out);
}

bool weir_es_at_boundary(const weir_es_reader *r) {
    return !r->fault && r->piece.len == 0 && (r->held_len == 0 || r->given);
}

/* No frame is under way: the next one is whole in the piece, or what there is of it is kept. */
static weir_status take_whole(weir_es_reader *r, weir_es_frame *out) {
    if (r->piece.len == 0) return WEIR_AGAIN;
    if (r->piece.len < WEIR_ES_PRELUDE) {
        hold(r, r->prelude, WEIR_ES_PRELUDE);
        return WEIR_AGAIN;
    }
    uint64_t total;
    weir_status status = read_prelude(r, r->piece.ptr, &total);
    if (status != WEIR_OK) return status;
    if (r->piece.len < total) {
        char *room = r->room(r->opaque, total);
        if (!room) return WEIR_E_NOMEM;
        r->held = room;
        r->total = total;
        hold(r, r->held, total);
        return WEIR_AGAIN;
    }
    status = read_frame(r, r->piece.ptr, total, out);
    if (status != WEIR_OK) return status;
    r->piece.ptr += total;
    r->piece.len -= total;
    r->offset += total;
    return WEIR_OK;
}

/* A frame is under way in `prelude` or, once its length is known, in `held`. */
static weir_status take_held(weir_es_reader *r, weir_es_frame *out) {
    if (!r->held) {
        hold(r, r->prelude, WEIR_ES_PRELUDE);
        if (r->held_len < WEIR_ES_PRELUDE) return WEIR_AGAIN;
        uint64_t total;
        weir_status status = read_prelude(r, r->prelude, &total);
        if (status != WEIR_OK) return status;
        char *room = r->room(r->opaque, total);
        if (!room) return WEIR_E_NOMEM;
        memcpy(room, r->prelude, WEIR_ES_PRELUDE);
        r->held = room;
        r->total = total;
    }
    hold(r, r->held, r->total);
    if (r->held_len < r->total) return WEIR_AGAIN;
    weir_status status = read_frame(r, r->held, r->total, out);
    if (status != WEIR_OK) return status;
    r->offset += r->total;
    r->given = true;
    return WEIR_OK;
}

/* Moves bytes of the piece behind those held, until there are `want`. */
static void hold(weir_es_reader *r, char *into, uint64_t want) {
    uint64_t n = want - r->held_len;
    if (n > r->piece.len) n = r->piece.len;
    if (n == 0) return;
    memcpy(into + r->held_len, r->piece.ptr, (size_t)n);
    r->held_len += n;
    r->piece.ptr += n;
    r->piece.len -= n;
}

static weir_status read_prelude(weir_es_reader *r, const char *prelude, uint64_t *total) {
    uint64_t headers = get_number(prelude + 4, 4);
    *total = get_number(prelude, 4);
    /* The checksum first: where it is wrong, the lengths are noise. */
    if (weir_crc32(0, prelude, 8) != get_number(prelude + 8, 4))
        return refuse(r, "the checksum of a frame's prelude is wrong");
    if (*total < WEIR_ES_OVERHEAD) return refuse(r, "a frame is shorter than its own frame");
    if (headers > *total - WEIR_ES_OVERHEAD)
        return refuse(r, "a frame's headers are longer than the frame");
    if (headers > WEIR_ES_HEADERS_MAX)
        return refuse(r, "a frame's headers are longer than 128 KiB");
    if (*total > (r->frame_max ? r->frame_max : WEIR_ES_FRAME_MAX))
        return refuse(r, "a frame is longer than the limit");
    return WEIR_OK;
}

/* All of a frame whose prelude is good. */
static weir_status read_frame(weir_es_reader *r, const char *whole, uint64_t total,
                              weir_es_frame *out) {
    uint64_t before_crc = total - WEIR_ES_TAIL;
    if (weir_crc32(0, whole, before_crc) != get_number(whole + before_crc, 4))
        return refuse(r, "the checksum of a frame is wrong");
    uint64_t headers_len = get_number(whole + 4, 4);
    *out = (weir_es_frame){
        .whole = {whole, total},
        .headers = {whole + WEIR_ES_PRELUDE, headers_len},
        .payload = {whole + WEIR_ES_PRELUDE + headers_len, total - WEIR_ES_OVERHEAD - headers_len}};
    const char *fault = check_headers(out);
    return fault ? refuse(r, fault) : WEIR_OK;
}

static const char *check_headers(weir_es_frame *frame) {
    weir_str names[WEIR_ES_HEADER_COUNT_MAX] = {{NULL, 0}};
    for (uint64_t at = 0; at < frame->headers.len;) {
        if (frame->header_count == WEIR_ES_HEADER_COUNT_MAX)
            return "a frame has more than 256 headers";
        weir_es_header h;
        const char *fault = read_header(frame->headers, &at, &h);
        if (fault) return fault;
        if (weir_utf8_span(h.name) < h.name.len ||
            (h.type == WEIR_ES_STRING && weir_utf8_span(h.value) < h.value.len))
            return "a header is not valid UTF-8";
        for (uint32_t i = 0; i < frame->header_count; i++)
            if (names[i].ptr && names[i].len == h.name.len &&
                memcmp(names[i].ptr, h.name.ptr, (size_t)h.name.len) == 0)
                return "a frame has two headers of one name";
        names[frame->header_count++] = h.name;
    }
    return NULL;
}

/* The header at `at`, which moves behind it; what is wrong with it, or NULL. */
static const char *read_header(weir_str headers, uint64_t *at, weir_es_header *out) {
    static const char cut[] = "a header is cut short";
    /* Bytes of a value by type; that of BYTES and STRING is the length in front. */
    static const uint8_t sizes[] = {0, 0, 1, 2, 4, 8, 2, 2, 8, UUID_LEN};
    const char *p = headers.ptr + *at;
    uint64_t left = headers.len - *at;
    memset(out, 0, sizeof *out);
    uint64_t name_len = (uint8_t)*p;
    if (name_len == 0) return "a header has no name";
    if (left < 1 + name_len + 1) return cut;
    out->name = (weir_str){p + 1, name_len};
    out->type = (uint8_t)p[1 + name_len];
    if (out->type > WEIR_ES_UUID) return "a header has an unknown type";
    p += 1 + name_len + 1;
    left -= 1 + name_len + 1;
    uint64_t size = sizes[out->type];
    if (left < size) return cut;
    switch (out->type) {
    case WEIR_ES_TRUE:
        out->number = 1;
        break;
    case WEIR_ES_FALSE:
        break;
    case WEIR_ES_I8:
        out->number = (int64_t)(int8_t)(uint8_t)get_number(p, 1); /* NOLINT: the sign counts */
        break;
    case WEIR_ES_I16:
        out->number = (int16_t)get_number(p, 2);
        break;
    case WEIR_ES_I32:
        out->number = (int32_t)get_number(p, 4);
        break;
    case WEIR_ES_I64:
    case WEIR_ES_TIMESTAMP:
        out->number = (int64_t)get_number(p, 8);
        break;
    case WEIR_ES_UUID:
        out->value = (weir_str){p, UUID_LEN};
        break;
    default: {
        uint64_t len = get_number(p, 2);
        if (left - size < len) return cut;
        out->value = (weir_str){p + size, len};
        size += len;
    }
    }
    *at = (uint64_t)(p - headers.ptr) + size;
    return NULL;
}

bool weir_es_header_next(const weir_es_frame *frame, uint32_t *cursor, weir_es_header *out) {
    uint64_t at = *cursor;
    if (at >= frame->headers.len || read_header(frame->headers, &at, out)) return false;
    *cursor = (uint32_t)at;
    return true;
}

bool weir_es_header_find(const weir_es_frame *frame, const char *name, weir_es_header *out) {
    size_t len = strlen(name);
    uint32_t cursor = 0;
    while (weir_es_header_next(frame, &cursor, out))
        if (out->name.len == len && memcmp(out->name.ptr, name, len) == 0) return true;
    return false;
}

weir_str weir_es_header_str(const weir_es_frame *frame, const char *name) {
    weir_es_header h;
    if (weir_es_header_find(frame, name, &h) && h.type == WEIR_ES_STRING) return h.value;
    return (weir_str){NULL, 0};
}

static weir_status refuse(weir_es_reader *r, const char *text) {
    r->fault = text;
    r->fault_frame = r->offset;
    return WEIR_E_DATA;
}

/* ---- writing ---- */

uint64_t weir_es_size(const weir_es_header *headers, uint32_t count, uint64_t payload_len) {
    if (count > WEIR_ES_HEADER_COUNT_MAX || payload_len > WEIR_ES_PAYLOAD_MAX) return 0;
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = value_size(headers + i);
        uint64_t name = headers[i].name.len;
        if (value == UINT64_MAX || name == 0 || name > UINT8_MAX) return 0;
        size += 1 + name + 1 + value;
    }
    return size > WEIR_ES_HEADERS_MAX ? 0 : WEIR_ES_OVERHEAD + size + payload_len;
}

uint64_t weir_es_write_head(const weir_es_header *headers, uint32_t count, uint64_t payload_len,
                            char *out, uint32_t *crc) {
    uint64_t total = weir_es_size(headers, count, payload_len);
    if (total == 0) return 0;
    char *at = put_number(out, total, 4);
    at = put_number(at, total - WEIR_ES_OVERHEAD - payload_len, 4);
    at = put_number(at, weir_crc32(0, out, 8), 4);
    for (uint32_t i = 0; i < count; i++) {
        const weir_es_header *h = headers + i;
        at = put_number(at, h->name.len, 1);
        at = put(at, h->name.ptr, h->name.len);
        at = put_number(at, h->type, 1);
        if (h->type == WEIR_ES_BYTES || h->type == WEIR_ES_STRING) {
            at = put_number(at, h->value.len, 2);
            at = put(at, h->value.ptr, h->value.len);
        } else if (h->type == WEIR_ES_UUID) {
            at = put(at, h->value.ptr, UUID_LEN);
        } else {
            at = put_number(at, (uint64_t)h->number, (uint32_t)value_size(h));
        }
    }
    uint64_t len = (uint64_t)(at - out);
    *crc = weir_crc32(0, out, len);
    return len;
}

uint32_t weir_es_crc(uint32_t crc, weir_str bytes) {
    return weir_crc32(crc, bytes.ptr, bytes.len);
}

void weir_es_write_tail(uint32_t crc, char *out) {
    put_number(out, crc, WEIR_ES_TAIL);
}

uint64_t weir_es_write(const weir_es_header *headers, uint32_t count, weir_str payload, char *out) {
    uint32_t crc;
    uint64_t len = weir_es_write_head(headers, count, payload.len, out, &crc);
    if (len == 0) return 0;
    put(out + len, payload.ptr, payload.len);
    weir_es_write_tail(weir_es_crc(crc, payload), out + len + payload.len);
    return len + payload.len + WEIR_ES_TAIL;
}

weir_es_header weir_es_str(const char *name, const char *value) {
    return (weir_es_header){
        .name = {name, strlen(name)}, .type = WEIR_ES_STRING, .value = {value, strlen(value)}};
}

/* Bytes of a header's value on the wire; UINT64_MAX if it cannot be written. */
static uint64_t value_size(const weir_es_header *h) {
    switch (h->type) {
    case WEIR_ES_TRUE:
    case WEIR_ES_FALSE:
        return 0;
    case WEIR_ES_I8:
        return 1;
    case WEIR_ES_I16:
        return 2;
    case WEIR_ES_I32:
        return 4;
    case WEIR_ES_I64:
    case WEIR_ES_TIMESTAMP:
        return 8;
    case WEIR_ES_BYTES:
    case WEIR_ES_STRING:
        return h->value.len > VALUE_WRITE_MAX ? UINT64_MAX : 2 + h->value.len;
    case WEIR_ES_UUID:
        return h->value.len == UUID_LEN ? UUID_LEN : UINT64_MAX;
    default:
        return UINT64_MAX;
    }
}

static char *put(char *out, const char *bytes, uint64_t len) {
    if (len > 0) memcpy(out, bytes, (size_t)len);
    return out + len;
}

/* Big-endian. */
static char *put_number(char *out, uint64_t v, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) out[i] = (char)(uint8_t)(v >> (8 * (bytes - 1 - i)));
    return out + bytes;
}

static uint64_t get_number(const char *p, uint32_t bytes) {
    uint64_t v = 0;
    for (uint32_t i = 0; i < bytes; i++) v = v << 8 | (uint8_t)p[i];
    return v;
}
