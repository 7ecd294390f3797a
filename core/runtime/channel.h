/*
 * core/runtime/channel.h - one producer task, one consumer task, batches and control marks between.
 *
 * A channel is bounded in items and in bytes. The producer looks for room before it asks its plugin
 * for data; what a single call still produced beyond the bound is kept by the producer (see
 * outlet.h), never dropped. Marks travel in line with the batches: a consumer sees a mark after
 * everything the producer pushed ahead of it.
 */
#ifndef WEIR_RUNTIME_CHANNEL_H
#define WEIR_RUNTIME_CHANNEL_H

#include <stdbool.h>

#include "base/ring.h"
#include "base/wake.h"
#include "runtime/splits.h"
#include "weir/batch.h"

/* Items a channel holds at most: enough to decouple two threads, few enough that the byte bound is
 * the one that matters for batches of usual size. */
#define CHANNEL_ITEMS 64u

typedef enum {
    ITEM_NONE,
    ITEM_BATCH,
    ITEM_BARRIER,      /* of mark.epoch */
    ITEM_WATERMARK,    /* event time has reached mark.time_us */
    ITEM_END_OF_SPLIT, /* mark.split is finished */
    ITEM_END_OF_INPUT, /* nothing follows, ever */
} item_kind;

typedef struct channel_mark {
    item_kind kind;
    uint64_t epoch; /* BARRIER */
    bool last;      /* BARRIER: sinks complete what is open */
    int64_t time_us;
    weir_str split; /* stands behind the struct, in the same allocation */
    split_end *end; /* END_OF_SPLIT: a reference of the mark's own; NULL = nobody waits for it */
} channel_mark;

typedef struct channel_item {
    item_kind kind;
    const weir_batch *batch; /* ITEM_BATCH: the receiver's reference */
    channel_mark *mark;      /* other kinds: the receiver frees it with mark_free */
} channel_item;

/* What one batch counts against byte bounds: its bytes and a share for its columns. */
uint64_t channel_batch_weight(const weir_batch *batch);

/* A copy, its split's text included. NULL without memory. */
channel_mark *mark_new(const channel_mark *like);
void mark_free(channel_mark *mark);
/* Gives back what an item holds. */
void channel_item_drop(channel_item *item);

typedef struct channel channel;

/* `consumer` is signalled by each push, `producer` when a full channel has room again. NULL without
 * memory. */
channel *channel_new(uint64_t bytes_max, wake *producer, wake *consumer);
/* Drops what is still in it; both tasks must have ended. */
void channel_free(channel *c);

/* True if another batch may be pushed. When it answers false the producer will be woken once there
 * is room. [producer] */
bool channel_room(channel *c);
/* Moves the item into the channel; false if there is no slot, and the item stays the caller's.
 * [producer] */
bool channel_push(channel *c, const channel_item *item);
/* The next item, or ITEM_NONE. [consumer] */
channel_item channel_pop(channel *c);
/* Bytes in it now, for status. [any] */
uint64_t channel_bytes(const channel *c);

#endif
