#include "weir/framing.h"

#include <string.h>

/* A run of at most this many bytes is copied: one iovec costs the kernel about as much. */
#define COPY_MAX 1024u

static weir_status split_lines(weir_str bytes, uint64_t record_max, weir_frames *out);
static weir_status split_length(weir_str bytes, uint64_t record_max, weir_frames *out);
static weir_status split_none(weir_str bytes, uint64_t record_max, weir_frames *out);

static int put(weir_gather *g, uint64_t *staged, const char *ptr, uint64_t len);
static uint32_t gather_hinted(weir_gather *g);
static weir_status gather_values(weir_gather *g);

weir_status weir_frame_split(uint32_t framing, weir_str bytes, uint64_t record_max,
                             weir_frames *out) {
    out->count = 0;
    out->used = 0;
    out->need = 0;
    if (record_max == 0 || record_max > WEIR_RECORD_BYTES_MAX) record_max = WEIR_RECORD_BYTES_MAX;
    if (framing == WEIR_FRAMING_LINES) return split_lines(bytes, record_max, out);
    if (framing == WEIR_FRAMING_LENGTH) return split_length(bytes, record_max, out);
    return split_none(bytes, record_max, out);
}

weir_status weir_frame_gather(weir_gather *g) {
    g->iov_count = 0;
    g->bytes = 0;
    if (g->row >= g->end) return WEIR_OK;
    if (g->framing == WEIR_FRAMING_LINES && g->rows->trailer_len == 1 && g->rows->trailer == '\n') {
        g->row = gather_hinted(g);
        return WEIR_OK;
    }
    return gather_values(g);
}

struct iovec *weir_iov_advance(struct iovec *iov, uint32_t *count, uint64_t written) {
    while (*count > 0 && written >= iov->iov_len) {
        written -= iov->iov_len;
        iov++;
        (*count)--;
    }
    if (*count > 0) {
        iov->iov_base = (char *)iov->iov_base + written;
        iov->iov_len -= (size_t)written;
    }
    return iov;
}

static weir_status split_lines(weir_str bytes, uint64_t record_max, weir_frames *out) {
    const char *at = bytes.ptr;
    const char *end = bytes.ptr + bytes.len;
    uint32_t count = 0;
    weir_status status = WEIR_OK;
    while (count < out->room && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        uint64_t len = (uint64_t)((newline != NULL ? newline : end) - at);
        if (len > record_max) {
            if (count == 0) status = WEIR_E_TOO_LARGE;
            break;
        }
        if (newline == NULL) break;
        out->value_ptr[count] = at;
        out->value_len[count] = (uint32_t)len;
        count++;
        at = newline + 1;
    }
    out->count = count;
    out->used = (uint64_t)(at - bytes.ptr);
    return status;
}

static weir_status split_length(weir_str bytes, uint64_t record_max, weir_frames *out) {
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    uint64_t left = bytes.len;
    uint32_t count = 0;
    while (count < out->room && left >= WEIR_FRAME_LENGTH_BYTES) {
        uint32_t len = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        uint64_t whole = (uint64_t)len + WEIR_FRAME_LENGTH_BYTES;
        if (len > record_max || left < whole) {
            out->need = whole;
            if (len > record_max && count == 0) return WEIR_E_TOO_LARGE;
            break;
        }
        out->value_ptr[count] = (const char *)at + WEIR_FRAME_LENGTH_BYTES;
        out->value_len[count] = len;
        count++;
        at += whole;
        left -= whole;
    }
    out->count = count;
    out->used = bytes.len - left;
    return WEIR_OK;
}

static weir_status split_none(weir_str bytes, uint64_t record_max, weir_frames *out) {
    if (bytes.len > record_max) return WEIR_E_TOO_LARGE;
    if (bytes.len == 0 || out->room == 0) return WEIR_OK;
    out->value_ptr[0] = bytes.ptr;
    out->value_len[0] = (uint32_t)bytes.len;
    out->count = 1;
    out->used = bytes.len;
    return WEIR_OK;
}

/* Adds a run of bytes: copied behind the staged ones if short, else by reference. 0 = full, and
 * then nothing was added. `staged` is how much of the staging area is in use. */
static int put(weir_gather *g, uint64_t *staged, const char *ptr, uint64_t len) {
    struct iovec *last = g->iov_count > 0 ? &g->iov[g->iov_count - 1] : NULL;
    if (len <= COPY_MAX) {
        char *to = g->staging + *staged;
        int joins = last != NULL && (char *)last->iov_base + last->iov_len == to;
        if (len > g->staging_size - *staged) return 0;
        if (!joins && g->iov_count == g->iov_max) return 0;
        if (len > 0) memcpy(to, ptr, (size_t)len);
        *staged += len;
        if (joins) {
            last->iov_len += (size_t)len;
        } else {
            g->iov[g->iov_count].iov_base = to;
            g->iov[g->iov_count++].iov_len = (size_t)len;
        }
    } else {
        if (g->iov_count == g->iov_max) return 0;
        g->iov[g->iov_count].iov_base = (void *)(uintptr_t)ptr;
        g->iov[g->iov_count++].iov_len = (size_t)len;
    }
    g->bytes += len;
    return 1;
}

/*
 * Values that are followed by their newline: neighbours in memory are one run,
 *
 *     value_ptr[0]      value_ptr[1] = value_ptr[0] + value_len[0] + 1
 *     v                 v
 *     l i n e   o n e \n l i n e   t w o \n           -> one iovec
 *
 * so that a batch as it came from a file leaves in one piece, at a few instructions a record.
 */
static uint32_t gather_hinted(weir_gather *g) {
    const char *const *ptr = g->rows->value_ptr;
    const uint32_t *len = g->rows->value_len;
    uint64_t budget = g->bytes_max > 0 ? g->bytes_max : UINT64_MAX;
    uint64_t staged = 0;
    uint32_t row = g->row;
    while (row < g->end && g->bytes < budget) {
        uint64_t run_max = budget - g->bytes;
        uint32_t first = row;
        const char *begin = ptr[row];
        const char *tail = begin;
        if (begin == NULL) { /* a null value has no byte behind it */
            if (!put(g, &staged, "\n", 1)) break;
            row++;
            continue;
        }
        do {
            tail += (uint64_t)len[row] + 1;
            row++;
        } while (row < g->end && ptr[row] == tail && (uint64_t)(tail - begin) < run_max);
        if (!put(g, &staged, begin, (uint64_t)(tail - begin))) {
            row = first;
            break;
        }
    }
    return row;
}

static weir_status gather_values(weir_gather *g) {
    uint64_t budget = g->bytes_max > 0 ? g->bytes_max : UINT64_MAX;
    uint64_t staged = 0;
    uint32_t first = g->row;
    for (; g->row < g->end && g->bytes < budget; g->row++) {
        const char *ptr = g->rows->value_ptr[g->row];
        uint32_t len = ptr != NULL ? g->rows->value_len[g->row] : 0;
        uint64_t copied = len <= COPY_MAX ? (uint64_t)len + 4 : 4;
        if (g->framing == WEIR_FRAMING_LINES && len > 0 && memchr(ptr, '\n', len) != NULL) {
            return g->row == first ? WEIR_E_DATA : WEIR_OK;
        }
        /* Room for all pieces of the record at once: no record may leave in part. */
        if (g->iov_max - g->iov_count < 3 || g->staging_size - staged < copied) break;
        if (g->framing == WEIR_FRAMING_LENGTH) {
            char head[WEIR_FRAME_LENGTH_BYTES] = {(char)(len >> 24), (char)(len >> 16),
                                                  (char)(len >> 8), (char)len};
            put(g, &staged, head, sizeof head);
        }
        if (len > 0) put(g, &staged, ptr, len);
        if (g->framing == WEIR_FRAMING_LINES) put(g, &staged, "\n", 1);
    }
    return WEIR_OK;
}
