/*
 * The codecs of sdk/aws on a command line of its own, so that tests in other languages can hold
 * them against other implementations. Reads a request a line, answers a line each:
 *
 *   cbor FLAGS HEX        the tape as text, or "fault OFFSET TEXT"
 *   cbor-again FLAGS HEX  the tape written as CBOR
 *   es PIECE HEX          frames of a stream that comes in pieces of that many bytes
 *   es-write HEADERS HEX  a frame; headers as NAMEHEX:TYPE:VALUE joined with commas, "-" for none
 *   xml HEX               events
 *   xml-text HEX          a text as the writer escapes it
 *   b64-encode VARIANT HEX, b64-decode VARIANT HEX    variant: any, scalar, sse, avx2
 *
 * An empty HEX is "-". Inputs lie in allocations of their exact size.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/cbor.h"
#include "aws/eventstream.h"
#include "aws/xml.h"
#include "json_private.h"

static void print_hex(const char *p, uint64_t len) {
    if (len == 0) printf("-");
    for (uint64_t i = 0; i < len; i++) printf("%02x", (unsigned)(uint8_t)p[i]);
}

static weir_str from_hex(const char *hex) {
    uint64_t len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    char *out = malloc(len ? len : 1);
    if (!out) abort();
    for (uint64_t i = 0; i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (char)strtoul(pair, NULL, 16);
    }
    return (weir_str){out, len};
}

/* ---- CBOR ---- */

typedef struct arena {
    weir_json_parser p;
    char *strings;
    uint64_t used;
} arena;

static weir_value *grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *got) {
    arena *a = opaque;
    (void)used;
    *got = capacity;
    return a->p.nodes = realloc(a->p.nodes, capacity * sizeof(weir_value));
}

static char *take(void *opaque, uint64_t size) {
    arena *a = opaque;
    char *bytes = a->strings + a->used;
    a->used += size;
    return bytes;
}

static void print_value(const weir_value *v) {
    switch (v->type) {
    case WEIR_V_NULL:
        printf("n");
        break;
    case WEIR_V_BOOL:
        printf(v->as.u64 ? "T" : "F");
        break;
    case WEIR_V_I64:
        printf("%s%" PRId64, v->logical == WEIR_L_TIMESTAMP_US ? "t" : "i", v->as.i64);
        break;
    case WEIR_V_U64:
        printf("i%" PRIu64, v->as.u64);
        break;
    case WEIR_V_F64:
        printf("d%016" PRIx64, v->as.u64);
        break;
    case WEIR_V_STRING:
        if (v->logical == WEIR_L_DECIMAL) {
            printf("i%.*s", (int)v->size, v->as.ptr);
            break;
        }
        printf("s");
        print_hex(v->as.ptr, v->size);
        break;
    case WEIR_V_BYTES:
        printf(v->logical == WEIR_L_UUID ? "u" : "b");
        print_hex(v->as.ptr, v->size);
        break;
    default: {
        printf(v->type == WEIR_V_ARRAY ? "[" : "{");
        const weir_value *e = v + 1;
        for (uint32_t i = 0; i < v->size * (v->type == WEIR_V_OBJECT ? 2 : 1); i++) {
            print_value(e);
            printf(" ");
            e = weir_value_next(e);
        }
        printf(v->type == WEIR_V_ARRAY ? "]" : "}");
    }
    }
}

static void do_cbor(const char *flags, const char *hex, int again) {
    weir_str bytes = from_hex(hex);
    arena a = {
        .p = {
            .flags = (uint32_t)strtoul(flags, NULL, 0), .grow = grow, .alloc = take, .opaque = &a}};
    a.strings = malloc(bytes.len * 3 + 1);
    if (!a.strings) abort();
    weir_status status = weir_cbor_parse(&a.p, bytes);
    if (status == WEIR_E_DATA) {
        printf("fault %" PRIu64 " %s", a.p.fault.offset, a.p.fault.text);
    } else if (status != WEIR_OK) {
        printf("status %d", (int)status);
    } else if (!again) {
        print_value(a.p.nodes);
    } else {
        weir_cbor_writer w;
        weir_cbor_writer_init(&w, NULL, 0);
        weir_cbor_put_value(&w, a.p.nodes);
        char *out = malloc(w.len);
        if (!out) abort();
        weir_cbor_writer_init(&w, out, w.len);
        weir_cbor_put_value(&w, a.p.nodes);
        if (!weir_cbor_writer_ok(&w)) abort();
        print_hex(out, w.len);
        free(out);
    }
    weir_json_parser_free(&a.p);
    free(a.p.nodes);
    free(a.strings);
    free((void *)(uintptr_t)bytes.ptr);
}

/* ---- event streams ---- */

static char *frame_room;

static char *room(void *opaque, uint64_t size) {
    (void)opaque;
    free(frame_room);
    return frame_room = malloc(size);
}

static void print_frame(const weir_es_frame *frame) {
    weir_es_header h;
    uint32_t cursor = 0;
    while (weir_es_header_next(frame, &cursor, &h)) {
        print_hex(h.name.ptr, h.name.len);
        printf(":%u:", h.type);
        if (h.value.ptr)
            print_hex(h.value.ptr, h.value.len);
        else
            printf("%" PRId64, h.number);
        printf(",");
    }
    printf(";");
    print_hex(frame->payload.ptr, frame->payload.len);
    printf(" ");
}

static void do_stream(const char *piece_len, const char *hex) {
    weir_str bytes = from_hex(hex);
    uint64_t step = strtoull(piece_len, NULL, 10);
    weir_es_reader r = {.room = room};
    weir_status status = WEIR_AGAIN;
    for (uint64_t at = 0; at < bytes.len && status == WEIR_AGAIN; at += step) {
        uint64_t len = bytes.len - at < step ? bytes.len - at : step;
        char *piece = malloc(len);
        if (!piece) abort();
        memcpy(piece, bytes.ptr + at, len);
        weir_es_feed(&r, (weir_str){piece, len});
        weir_es_frame frame;
        while ((status = weir_es_next(&r, &frame)) == WEIR_OK) print_frame(&frame);
        free(piece);
    }
    if (status == WEIR_E_DATA)
        printf("fault %" PRIu64 " %s", r.fault_frame, r.fault);
    else
        printf(weir_es_at_boundary(&r) ? "end" : "cut");
    free(frame_room);
    frame_room = NULL;
    free((void *)(uintptr_t)bytes.ptr);
}

static void do_stream_write(char *list, const char *hex) {
    weir_es_header headers[WEIR_ES_HEADER_COUNT_MAX];
    uint32_t count = 0;
    weir_str payload = from_hex(hex);
    char *save = NULL;
    if (strcmp(list, "-") == 0) *list = '\0';
    for (char *one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        char *type = strchr(one, ':');
        if (!type || count == WEIR_ES_HEADER_COUNT_MAX) abort();
        *type++ = '\0';
        char *value = strchr(type, ':');
        if (!value) abort();
        *value++ = '\0';
        weir_es_header *h = &headers[count++];
        *h = (weir_es_header){.name = from_hex(one), .type = (uint32_t)strtoul(type, NULL, 10)};
        if (h->type == WEIR_ES_BYTES || h->type == WEIR_ES_STRING || h->type == WEIR_ES_UUID)
            h->value = from_hex(value);
        else
            h->number = strtoll(value, NULL, 10);
    }
    uint64_t size = weir_es_size(headers, count, payload.len);
    char *out = malloc(size ? size : 1);
    if (!out) abort();
    if (weir_es_write(headers, count, payload, out) != size) abort();
    print_hex(out, size);
    for (uint32_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)headers[i].name.ptr);
        free((void *)(uintptr_t)headers[i].value.ptr);
    }
    free(out);
    free((void *)(uintptr_t)payload.ptr);
}

/* ---- XML ---- */

static void do_xml(const char *hex) {
    weir_str document = from_hex(hex);
    weir_xml_reader r;
    weir_xml_begin(&r, document);
    for (;;) {
        uint32_t event = weir_xml_next(&r);
        if (event == WEIR_XML_END) {
            printf("end");
            break;
        }
        if (event == WEIR_XML_FAULT) {
            printf("fault %" PRIu64 " %s", r.fault_offset, r.fault);
            break;
        }
        if (event == WEIR_XML_TEXT) {
            char *text = malloc(r.text.len + 1);
            if (!text) abort();
            uint64_t len = r.text.len;
            if (r.escaped)
                len = weir_xml_unescape(r.text, text);
            else if (len)
                memcpy(text, r.text.ptr, len);
            printf("T");
            print_hex(text, len);
            free(text);
        } else {
            printf(event == WEIR_XML_OPEN ? "O" : "C");
            print_hex(r.name.ptr, r.name.len);
        }
        printf(" ");
    }
    free((void *)(uintptr_t)document.ptr);
}

static void do_xml_text(const char *hex) {
    weir_str s = from_hex(hex);
    weir_xml_writer w;
    weir_xml_writer_init(&w, NULL, 0);
    weir_xml_put_text(&w, s);
    uint64_t len = w.len;
    char *out = malloc(len ? len : 1);
    if (!out) abort();
    weir_xml_writer_init(&w, out, len);
    weir_xml_put_text(&w, s);
    if (!weir_xml_writer_ok(&w) || w.len != len) abort();
    print_hex(out, len);
    free(out);
    free((void *)(uintptr_t)s.ptr);
}

/* ---- base64 ---- */

static uint64_t encode(const char *variant, weir_str in, char *out) {
    const uint8_t *p = (const uint8_t *)in.ptr;
    if (strcmp(variant, "scalar") == 0) return json_base64_encode_scalar(p, in.len, out);
#if JSON_HAVE_AVX2
    if (strcmp(variant, "sse") == 0 && json_cpu_sse())
        return json_base64_encode_sse(p, in.len, out);
    if (strcmp(variant, "avx2") == 0 && json_cpu_avx2())
        return json_base64_encode_avx2(p, in.len, out);
#endif
    return weir_base64_encode(in, out);
}

static uint64_t decode(const char *variant, weir_str in, char *out) {
    const uint8_t *p = (const uint8_t *)in.ptr;
    uint8_t *to = (uint8_t *)out;
    if (strcmp(variant, "scalar") == 0) return json_base64_decode_scalar(p, in.len, to);
#if JSON_HAVE_AVX2
    if (strcmp(variant, "sse") == 0 && json_cpu_sse()) return json_base64_decode_sse(p, in.len, to);
    if (strcmp(variant, "avx2") == 0 && json_cpu_avx2())
        return json_base64_decode_avx2(p, in.len, to);
#endif
    return weir_base64_decode(in, out);
}

static void do_base64(int back, const char *variant, const char *hex) {
    weir_str in = from_hex(hex);
    uint64_t room_len = back ? in.len * 3 / 4 : 4 * ((in.len + 2) / 3);
    char *out = malloc(room_len ? room_len : 1);
    if (!out) abort();
    uint64_t len = back ? decode(variant, in, out) : encode(variant, in, out);
    if (len == UINT64_MAX)
        printf("fault");
    else
        print_hex(out, len);
    free(out);
    free((void *)(uintptr_t)in.ptr);
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        char *save = NULL, *words[3];
        uint32_t count = 0;
        for (char *word = strtok_r(line, " \n", &save); word && count < 3;
             word = strtok_r(NULL, " \n", &save))
            words[count++] = word;
        if (count == 0) continue;
        const char *what = words[0];
        if (count == 2 && strcmp(what, "xml") == 0)
            do_xml(words[1]);
        else if (count == 2 && strcmp(what, "xml-text") == 0)
            do_xml_text(words[1]);
        else if (count == 3 && strcmp(what, "cbor") == 0)
            do_cbor(words[1], words[2], 0);
        else if (count == 3 && strcmp(what, "cbor-again") == 0)
            do_cbor(words[1], words[2], 1);
        else if (count == 3 && strcmp(what, "es") == 0)
            do_stream(words[1], words[2]);
        else if (count == 3 && strcmp(what, "es-write") == 0)
            do_stream_write(words[1], words[2]);
        else if (count == 3 && strcmp(what, "b64-encode") == 0)
            do_base64(0, words[1], words[2]);
        else if (count == 3 && strcmp(what, "b64-decode") == 0)
            do_base64(1, words[1], words[2]);
        else
            printf("what");
        printf("\n");
    }
    free(line);
    return 0;
}
