/*
 * Multipart uploads: parts go out as they fill, the object appears when they are put together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vsink.h"
#include "weir/sink.h"

#define PART_RECORDS 2u /* the part minimum: less stays in the checkpoint */
#define PARTS_MAX 8u
#define ROLL_RECORDS 6u /* an upload that is kept open is completed from here on */
#define FULL_MAX 64u

typedef struct part {
    written records[PART_RECORDS];
    uint32_t count, etag;
} part;

typedef struct upload {
    enum { UPLOAD_OPEN, UPLOAD_DONE, UPLOAD_ABORTED } state;
    uint32_t node;
    char instance_id[20];
    part parts[PARTS_MAX];
    uint32_t done_parts; /* of the object */
    bool prepared;
    bool left;           /* the last recovery kept it on purpose */
    bool foreign_object; /* somebody else's object stands under its key */
} upload;

typedef struct s3 {
    upload *uploads;
    uint32_t count, cap;
    uint32_t etags;
} s3;

/* Committable and state have the same beginning. */
typedef struct item {
    uint32_t upload, parts;
    uint32_t etags[PARTS_MAX];
    uint32_t tail_count; /* state: records below the part minimum */
    uint32_t unused;
    written tail[PART_RECORDS];
} item;

typedef struct s3_sink {
    vsink base;
    bool open;
    item current;
    item full[FULL_MAX]; /* with all their parts, or of other instances before: completed next */
    uint32_t full_count;
    bool roll;
} s3_sink;

struct s3 *s3_new(void) {
    s3 *s = calloc(1, sizeof *s);
    WEIR_ASSERT(s != NULL);
    return s;
}

void s3_free(struct s3 *s) {
    free(s->uploads);
    free(s);
}

static uint32_t create_upload(s3 *s, uint32_t node, const char *instance_id) {
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 16;
        s->uploads = realloc(s->uploads, s->cap * sizeof *s->uploads);
        WEIR_ASSERT(s->uploads != NULL);
    }
    upload *u = &s->uploads[s->count];
    *u = (upload){.node = node};
    (void)snprintf(u->instance_id, sizeof u->instance_id, "%s", instance_id);
    return s->count++;
}

/* ---- the writer ---- */

static vsink *open_writer(const vsink_open *open) {
    s3_sink *s = calloc(1, sizeof *s);
    WEIR_ASSERT(s != NULL);
    for (uint32_t i = 0; i < open->blob_count; i++) {
        weir_str bytes = open->blobs[i]->bytes;
        WEIR_ASSERT(bytes.len == sizeof(item));
        if (!s->open) {
            memcpy(&s->current, bytes.ptr, sizeof(item));
            s->open = true;
        } else if (s->full_count < FULL_MAX) {
            memcpy(&s->full[s->full_count++], bytes.ptr, sizeof(item));
        }
    }
    return &s->base;
}

static void free_writer(vsink *v) {
    free(v);
}

/* The records that wait become a part. False: no answer. */
static bool upload_tail(s3_sink *s, item *it) {
    world *w = s->base.w;
    if (it->tail_count == 0) return true;
    if (!world_op(w)) return false;
    upload *u = &w->s3->uploads[it->upload];
    if (u->state != UPLOAD_OPEN) {
        violate(w, "gone: upload %u, which a checkpoint keeps open, is %s", it->upload,
                u->state == UPLOAD_DONE ? "published" : "aborted");
        return false;
    }
    WEIR_ASSERT(it->parts < PARTS_MAX);
    part *p = &u->parts[it->parts];
    *p = (part){.count = it->tail_count, .etag = ++w->s3->etags};
    memcpy(p->records, it->tail, it->tail_count * sizeof(written));
    it->etags[it->parts++] = p->etag;
    it->tail_count = 0;
    return true;
}

static took take(vsink *v, const written *r) {
    s3_sink *s = (s3_sink *)v;
    world *w = v->w;
    bool goes_out = s->open && s->current.tail_count == PART_RECORDS;
    if (goes_out && !upload_tail(s, &s->current)) return FAILED;
    if (s->open && s->current.parts == PARTS_MAX) {
        WEIR_ASSERT(s->full_count < FULL_MAX);
        s->full[s->full_count++] = s->current;
        s->open = false;
    }
    if (!s->open) {
        if (!world_op(w)) return FAILED;
        s->current = (item){.upload = create_upload(w->s3, v->node, v->instance_id)};
        s->open = true;
    }
    s->current.tail[s->current.tail_count++] = *r;
    return TOOK;
}

static weir_status flush(vsink *v, uint64_t epoch, bool last) {
    s3_sink *s = (s3_sink *)v;
    (void)epoch;
    uint32_t records = s->current.parts * PART_RECORDS + s->current.tail_count;
    s->roll = last || !v->w->config.keep_open || records >= ROLL_RECORDS;
    for (uint32_t i = 0; i < s->full_count; i++)
        if (!upload_tail(s, &s->full[i])) return WEIR_E_FENCED;
    if (s->open && s->roll && !upload_tail(s, &s->current)) return WEIR_E_FENCED;
    return WEIR_OK;
}

static weir_status hand_over(s3_sink *s, const item *it, sink_epochs *epochs) {
    s->base.w->s3->uploads[it->upload].prepared = true;
    return sink_epochs_add_committable(epochs, (weir_str){(const char *)it, sizeof *it});
}

static weir_status prepare(vsink *v, uint64_t epoch, sink_epochs *epochs, state_part *into) {
    s3_sink *s = (s3_sink *)v;
    (void)epoch;
    for (uint32_t i = 0; i < s->full_count; i++)
        if (hand_over(s, &s->full[i], epochs) != WEIR_OK) return WEIR_E_FENCED;
    s->full_count = 0;
    if (!s->open) return WEIR_OK;
    if (s->roll) {
        s->open = false;
        return hand_over(s, &s->current, epochs);
    }
    return part_add_blob(into, &(state_blob){.scope = WEIR_SCOPE_ITEM,
                                             .version = 1,
                                             .instance = v->task,
                                             .bytes = {(const char *)&s->current, sizeof(item)}});
}

/* ---- decisions ---- */

/* CompleteMultipartUpload. */
static uint32_t complete(world *w, const item *it) {
    upload *u = &w->s3->uploads[it->upload];
    switch (u->state) {
    case UPLOAD_OPEN:
        for (uint32_t i = 0; i < it->parts; i++) {
            if (u->parts[i].etag == it->etags[i]) continue;
            violate(w, "parts: upload %u has another part %u than was prepared", it->upload, i);
        }
        u->state = UPLOAD_DONE;
        u->done_parts = it->parts;
        for (uint32_t i = 0; i < it->parts; i++)
            world_visible(w, u->parts[i].records, u->parts[i].count);
        return WEIR_VERDICT_DONE;
    case UPLOAD_DONE: /* NoSuchUpload, and the object is ours */
        return WEIR_VERDICT_ALREADY;
    default:
        if (mutated("no_such_upload_is_success")) return WEIR_VERDICT_ALREADY;
        if (mutated("head_any_object") && u->foreign_object) return WEIR_VERDICT_ALREADY;
        return WEIR_VERDICT_LOST;
    }
}

static void commit(world *w, uint32_t node, const state_committable *const *items, uint32_t count,
                   uint32_t *verdicts) {
    (void)node;
    for (uint32_t i = 0; i < count; i++) {
        item it;
        memcpy(&it, items[i]->bytes.ptr, sizeof it);
        verdicts[i] = WEIR_VERDICT_RETRY;
        if (!world_op(w)) continue;
        bool fails = sim_fault(w, w->config.commit);
        if (fails && sim_chance(w, 500)) continue;
        uint32_t verdict = complete(w, &it);
        if (!fails) verdicts[i] = verdict; /* else the answer was lost */
    }
}

static void abort_item(world *w, uint32_t node, const state_committable *c) {
    (void)node;
    item it;
    memcpy(&it, c->bytes.ptr, sizeof it);
    upload *u = &w->s3->uploads[it.upload];
    if (world_op(w) && u->state == UPLOAD_OPEN) u->state = UPLOAD_ABORTED;
}

static weir_status recover(world *w, uint32_t node, uint32_t parallelism, const char *instance_id,
                           const state_blob *const *kept, uint32_t count) {
    (void)parallelism;
    if (mutated("orphans_not_listed")) return WEIR_OK;
    for (uint32_t i = 0; i < w->s3->count; i++) {
        upload *u = &w->s3->uploads[i];
        bool ours = u->node == node && strcmp(u->instance_id, instance_id) == 0;
        if (u->state != UPLOAD_OPEN || (!ours && !mutated("recover_any_instance"))) continue;
        bool keep = false;
        for (uint32_t k = 0; k < count && !keep; k++)
            keep = memcmp(kept[k]->bytes.ptr, &i, sizeof i) == 0;
        u->left = keep;
        if (keep) continue;
        if (!world_op(w)) return WEIR_E_CANCELLED;
        trace(w, "s3: upload %u is an orphan", i);
        u->state = UPLOAD_ABORTED;
    }
    return WEIR_OK;
}

/* ---- outside ---- */

static void visible(world *w, uint32_t node, vsink_each each, void *opaque) {
    for (uint32_t i = 0; i < w->s3->count; i++) {
        const upload *u = &w->s3->uploads[i];
        if (u->node != node || u->state != UPLOAD_DONE) continue;
        for (uint32_t p = 0; p < u->done_parts; p++)
            for (uint32_t k = 0; k < u->parts[p].count; k++)
                each(opaque, node, &u->parts[p].records[k], i);
    }
}

void s3_foreign(world *w) {
    (void)create_upload(w->s3, NODE_SINK_A, "another");
}

bool s3_foreign_intact(const world *w) {
    return w->s3->uploads[0].state == UPLOAD_OPEN;
}

uint32_t s3_orphans(const world *w, char *first, size_t size) {
    uint32_t n = 0;
    for (uint32_t i = 1; i < w->s3->count; i++) {
        const upload *u = &w->s3->uploads[i];
        /* Nobody is there to look after a node that left the manifest. */
        if (u->state != UPLOAD_OPEN || u->left || (w->left && u->node == NODE_SINK_B)) continue;
        if (n++ == 0 && first[0] == '\0') (void)snprintf(first, size, "upload %u", i);
    }
    return n;
}

void s3_told(world *w, uint32_t node, const state_committable *c) {
    item it;
    memcpy(&it, c->bytes.ptr, sizeof it);
    const upload *u = &w->s3->uploads[it.upload];
    for (uint32_t p = 0; p < it.parts; p++)
        for (uint32_t k = 0; k < u->parts[p].count; k++)
            w->told[SINK_OF(node)][u->parts[p].records[k].record] = true;
}

void s3_outside(world *w) {
    if (!sim_fault(w, w->config.lifecycle)) return;
    for (uint32_t i = 1; i < w->s3->count; i++) {
        upload *u = &w->s3->uploads[i];
        if (u->state != UPLOAD_OPEN || !u->prepared) continue;
        u->state = UPLOAD_ABORTED;
        u->foreign_object = true;
        trace(w, "s3: the bucket's rules abort upload %u", i);
        return;
    }
}

const vsink_ops vsink_s3 = {.open = open_writer,
                            .free = free_writer,
                            .write = take,
                            .flush = flush,
                            .prepare = prepare,
                            .commit = commit,
                            .abort = abort_item,
                            .recover = recover,
                            .visible = visible};
