#include "runtime/lost.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"

/* The kept checkpoint of an epoch; NULL if there is none that can be read. */
static checkpoint *kept(store *s, uint64_t epoch) {
    store_entry *entries = NULL;
    uint32_t count = 0;
    checkpoint *found = NULL;
    weir_error *err = error_new();
    if (s != NULL && store_list(s, false, &entries, &count, err) == WEIR_OK) {
        for (uint32_t i = 0; i < count && found == NULL; i++) {
            if (entries[i].epoch != epoch || !entries[i].readable) continue;
            if (store_load(s, str_of(entries[i].path), &found, err) != WEIR_OK) found = NULL;
        }
    }
    free(entries);
    error_free(err);
    return found;
}

static void position_out(buf *out, weir_str position) {
    if (position.len == 0) buf_append_z(out, "the beginning");
    for (size_t i = 0; i < position.len; i++) {
        unsigned char c = (unsigned char)position.ptr[i];
        if (c > 0x20 && c < 0x7f) {
            buf_append_char(out, (char)c);
        } else {
            buf_printf(out, "\\x%02x", c);
        }
    }
}

void lost_report(store *s, const checkpoint *newest, const lost_piece *piece) {
    log_write(WEIR_LOG_ERROR, NULL,
              "%.*s[%u]: a piece that was prepared in epoch %llu can no longer be committed: its "
              "records are lost at this sink (it took %llu in that epoch; a piece that stayed open "
              "over several epochs holds older ones too)",
              STR_FMT(piece->node), piece->instance, (unsigned long long)piece->epoch,
              (unsigned long long)piece->records);
    checkpoint *read = NULL;
    const checkpoint *end = newest;
    if (end == NULL || end->epoch != piece->epoch) end = read = kept(s, piece->epoch);
    buf text;
    buf_init(&text, 4096);
    /* Only the end is sure: a piece may have been open since any earlier epoch. */
    for (uint32_t n = 0; end != NULL && n < end->node_count; n++) {
        const state_node *node = &end->nodes[n];
        for (uint32_t i = 0; i < node->split_count; i++) {
            buf_reset(&text);
            position_out(&text, node->splits[i].position);
            log_write(WEIR_LOG_ERROR, NULL,
                      "%.*s: lost are records of split %.*s from ahead of position %.*s; how many "
                      "there were the sink says",
                      STR_FMT(node->name), STR_FMT(node->splits[i].id), STR_FMT(buf_str(&text)));
        }
    }
    if (end == NULL) {
        log_write(WEIR_LOG_ERROR, NULL,
                  "epoch %llu: no checkpoint is kept that tells its positions",
                  (unsigned long long)piece->epoch);
    }
    buf_free(&text);
    checkpoint_free(read);
}
