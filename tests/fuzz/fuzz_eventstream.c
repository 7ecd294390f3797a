/*
 * The reader of event streams. The first byte of the input is the size of the pieces, the rest is
 * the stream; with its highest bit set, the checksums of the stream's frames are made right first,
 * as no chance would. Checked: pieces of any size give the same frames and the same fault as the
 * whole does, and a frame is written again as the bytes it was read from.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/crc32.h"
#include "aws/eventstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Memory is not worth a fuzzer's time: frames longer than this are refused. */
#define FRAME_MAX (1u << 20)

static void require(int condition) {
    if (!condition) abort();
}

static char *room(void *opaque, uint64_t size) {
    char **held = opaque;
    require(size <= FRAME_MAX);
    free(*held);
    *held = malloc(size);
    return *held;
}

static uint32_t get32(const char *p) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 8 | (uint8_t)p[i];
    return v;
}

static void put32(char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (char)(uint8_t)(v >> (24 - 8 * i));
}

static void mend(char *bytes, uint64_t len) {
    while (len >= WEIR_ES_OVERHEAD) {
        uint32_t total = get32(bytes);
        put32(bytes + 8, weir_crc32(0, bytes, 8));
        if (total < WEIR_ES_OVERHEAD || total > len) return;
        put32(bytes + total - 4, weir_crc32(0, bytes, total - 4));
        bytes += total;
        len -= total;
    }
}

static void check_written(const weir_es_frame *f) {
    weir_es_header headers[WEIR_ES_HEADER_COUNT_MAX], found;
    uint32_t cursor = 0, count = 0;
    while (weir_es_header_next(f, &cursor, &headers[count])) {
        char name[256];
        memcpy(name, headers[count].name.ptr, headers[count].name.len);
        name[headers[count].name.len] = '\0';
        if (strlen(name) == headers[count].name.len)
            require(weir_es_header_find(f, name, &found) &&
                    found.name.ptr == headers[count].name.ptr);
        /* Longer values are read but not written. */
        if (headers[count].value.len > 32767) return;
        count++;
    }
    require(count == f->header_count);
    uint64_t len = weir_es_size(headers, count, f->payload.len);
    require(len == f->whole.len);
    char *out = malloc(len);
    require(out && weir_es_write(headers, count, f->payload, out) == len);
    require(memcmp(out, f->whole.ptr, len) == 0);
    free(out);
}

/* All frames in pieces of `step` bytes; the frames one after the other go to `out`. */
static uint64_t read_all(const char *bytes, uint64_t len, uint64_t step, char *out,
                         const char **fault) {
    char *held = NULL;
    weir_es_reader r = {.room = room, .opaque = &held, .frame_max = FRAME_MAX};
    uint64_t written = 0;
    weir_status status = WEIR_AGAIN;
    for (uint64_t at = 0; at < len && status == WEIR_AGAIN; at += step) {
        uint64_t n = len - at < step ? len - at : step;
        char *piece = malloc(n);
        require(piece != NULL);
        memcpy(piece, bytes + at, n);
        weir_es_feed(&r, (weir_str){piece, n});
        weir_es_frame f;
        while ((status = weir_es_next(&r, &f)) == WEIR_OK) {
            require(f.whole.len <= len - written);
            memcpy(out + written, f.whole.ptr, f.whole.len);
            written += f.whole.len;
            check_written(&f);
        }
        free(piece);
    }
    require(status == WEIR_AGAIN || status == WEIR_E_DATA);
    if (status == WEIR_E_DATA) require(r.fault != NULL && r.fault_frame == written);
    if (status == WEIR_AGAIN) require(weir_es_at_boundary(&r) == (written == len));
    *fault = r.fault;
    free(held);
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    uint64_t step = 1 + (data[0] & 0x7f), len = size - 1;
    char *bytes = malloc(len), *one = malloc(len), *other = malloc(len);
    require(bytes && one && other);
    memcpy(bytes, data + 1, len);
    if (data[0] & 0x80) mend(bytes, len);
    const char *fault, *other_fault;
    uint64_t read = read_all(bytes, len, len, one, &fault);
    require(memcmp(one, bytes, read) == 0);
    require(read_all(bytes, len, step, other, &other_fault) == read);
    require(memcmp(other, one, read) == 0 && fault == other_fault);
    free(bytes);
    free(one);
    free(other);
    return 0;
}
