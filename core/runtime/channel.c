#include "runtime/channel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "batch/batch.h"

struct channel {
    ring *ring;
    uint64_t bytes_max;
    _Atomic uint64_t bytes;
    /* Set by the producer when it found no room, cleared by the consumer when it wakes it. */
    _Atomic bool starved;
    wake *producer;
    wake *consumer;
};

/* The ring holds pointers: a batch as it is, a mark with its lowest bit set. */
#define MARK_TAG ((uintptr_t)1)

uint64_t channel_batch_weight(const weir_batch *batch) {
    return batch->rows->value_bytes + UINT64_C(16) * batch->rows->count;
}

channel_mark *mark_new(const channel_mark *like) {
    weir_str split = like->split;
    channel_mark *mark = malloc(sizeof *mark + split.len + 1);
    if (mark == NULL) return NULL;
    char *text = (char *)(mark + 1);
    if (split.len > 0) memcpy(text, split.ptr, split.len);
    text[split.len] = '\0';
    *mark = *like;
    mark->split = (weir_str){text, split.len};
    if (mark->end != NULL) split_end_retain(mark->end);
    return mark;
}

void mark_free(channel_mark *mark) {
    if (mark != NULL && mark->end != NULL) split_end_release(mark->end);
    free(mark);
}

void channel_item_drop(channel_item *item) {
    if (item->kind == ITEM_BATCH) {
        batch_release(item->batch);
    } else {
        mark_free(item->mark);
    }
    *item = (channel_item){ITEM_NONE, NULL, NULL};
}

channel *channel_new(uint64_t bytes_max, wake *producer, wake *consumer) {
    channel *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->ring = ring_new(CHANNEL_ITEMS);
    if (c->ring == NULL) {
        free(c);
        return NULL;
    }
    c->bytes_max = bytes_max;
    c->producer = producer;
    c->consumer = consumer;
    return c;
}

void channel_free(channel *c) {
    if (c == NULL) return;
    for (;;) {
        channel_item item = channel_pop(c);
        if (item.kind == ITEM_NONE) break;
        channel_item_drop(&item);
    }
    ring_free(c->ring);
    free(c);
}

static bool has_room(channel *c) {
    return atomic_load(&c->bytes) < c->bytes_max && ring_count(c->ring) < CHANNEL_ITEMS;
}

static bool half_free(channel *c) {
    return atomic_load(&c->bytes) <= c->bytes_max / 2 && ring_count(c->ring) <= CHANNEL_ITEMS / 2;
}

bool channel_room(channel *c) {
    if (has_room(c)) return true;
    /* Say that we wait, then look again: the consumer may have made room in between, and would not
     * have seen the flag. */
    atomic_store(&c->starved, true);
    return has_room(c);
}

bool channel_push(channel *c, const channel_item *item) {
    void *slot;
    if (item->kind == ITEM_BATCH) {
        slot = (void *)(uintptr_t)item->batch;
        atomic_fetch_add(&c->bytes, channel_batch_weight(item->batch));
    } else {
        slot = (void *)((uintptr_t)item->mark | MARK_TAG);
    }
    if (!ring_push(c->ring, slot)) {
        /* As in channel_room: announce, then look once more. */
        atomic_store(&c->starved, true);
        if (!ring_push(c->ring, slot)) {
            if (item->kind == ITEM_BATCH) {
                atomic_fetch_sub(&c->bytes, channel_batch_weight(item->batch));
            }
            return false;
        }
    }
    wake_signal(c->consumer);
    return true;
}

channel_item channel_pop(channel *c) {
    channel_item item = {ITEM_NONE, NULL, NULL};
    void *slot = ring_pop(c->ring);
    if (slot == NULL) return item;
    if (((uintptr_t)slot & MARK_TAG) != 0) {
        item.mark = (channel_mark *)((uintptr_t)slot & ~MARK_TAG);
        item.kind = item.mark->kind;
    } else {
        item.kind = ITEM_BATCH;
        item.batch = slot;
        atomic_fetch_sub(&c->bytes, channel_batch_weight(item.batch));
    }
    /* The producer is woken when half is free, not at the first slot: otherwise a full channel
     * makes both threads sleep and wake once a batch, which cost 8 % of a file-to-file run. */
    if (atomic_load(&c->starved) && half_free(c) && atomic_exchange(&c->starved, false)) {
        wake_signal(c->producer);
    }
    return item;
}

uint64_t channel_bytes(const channel *c) {
    return atomic_load_explicit(&c->bytes, memory_order_relaxed);
}
