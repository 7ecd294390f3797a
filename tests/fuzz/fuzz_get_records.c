/*
 * The scanner of GetRecords answers, over a buffer of exactly the input's size. Checked: each
 * record lies inside the buffer and has a valid sequence number, a refusal says what was expected,
 * and an iterator is never empty.
 *
 * The scanner is part of a plugin and of no library of the SDK, so its source is included.
 */
#include "../../plugins/kinesis/get_records.c"
#include "../../plugins/kinesis/position.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    get_records g;
    kinesis_record r;
    get_records_begin(&g, text, size);
    int found;
    while ((found = get_records_next(&g, &r)) == 1) {
        const char *end = text + size;
        if (r.data.ptr < text || r.data.ptr + r.data.len > end) abort();
        if (r.key.ptr && (r.key.ptr < text || r.key.ptr + r.key.len > end)) abort();
        if (!sequence_is_valid(r.sequence)) abort();
    }
    if (found < 0 && !g.fault) abort();
    if (found == 0 && g.has_next && g.next_iterator.len == 0) abort();
    free(text);
    return 0;
}
