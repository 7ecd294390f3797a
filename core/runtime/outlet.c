#include "runtime/outlet.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/str.h"
#include "batch/batch.h"
#include "runtime/key_group.h"

typedef struct waiting {
    struct waiting *next;
    channel_item item;
} waiting;

typedef struct lane {
    channel *channel;
    waiting *first, *last;
} lane;

struct outlet {
    const plan_edge *edge;
    batch_home *home;
    lane *lanes;
    uint32_t count;
    uint32_t turn;      /* round robin */
    uint64_t waiting;   /* items over all lanes */
    template_eval *key; /* EXCHANGE_KEY */
    uint32_t key_groups;
};

outlet *outlet_new(const plan_edge *edge, batch_home *home, uint32_t key_groups,
                   const template_env *env) {
    outlet *o = calloc(1, sizeof *o);
    if (o == NULL) return NULL;
    o->edge = edge;
    o->home = home;
    o->key_groups = key_groups;
    o->count = edge->to->parallelism;
    o->lanes = calloc(o->count, sizeof *o->lanes);
    if (edge->exchange == EXCHANGE_KEY) o->key = template_eval_new(edge->key, env);
    if (o->lanes == NULL || (edge->exchange == EXCHANGE_KEY && o->key == NULL)) {
        outlet_free(o);
        return NULL;
    }
    return o;
}

void outlet_free(outlet *o) {
    if (o == NULL) return;
    for (uint32_t l = 0; o->lanes != NULL && l < o->count; l++) {
        while (o->lanes[l].first != NULL) {
            waiting *w = o->lanes[l].first;
            o->lanes[l].first = w->next;
            channel_item_drop(&w->item);
            free(w);
        }
    }
    template_eval_free(o->key);
    free(o->lanes);
    free(o);
}

outlet *outlet_for_dead_letters(const plan_stage *stage, outlet *const *outlets, const node *n) {
    for (size_t o = 0; o < stage->output_count; o++) {
        const plan_edge *e = stage->outputs[o];
        if (e->dead_letters && e->from_node == n) return outlets[o];
    }
    return NULL;
}

void outlet_connect(outlet *o, uint32_t task, channel *c) {
    o->lanes[task].channel = c;
}

bool outlet_room(outlet *o) {
    if (!outlet_flush(o)) return false;
    for (uint32_t l = 0; l < o->count; l++) {
        if (!channel_room(o->lanes[l].channel)) return false;
    }
    return true;
}

/* Into the channel if nothing waits ahead of it and there is a slot, else behind what waits. */
static weir_status lane_put(outlet *o, lane *l, channel_item item, weir_error *err) {
    if (l->first == NULL && channel_push(l->channel, &item)) return WEIR_OK;
    waiting *w = malloc(sizeof *w);
    if (w == NULL) {
        channel_item_drop(&item);
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a batch that waits");
    }
    *w = (waiting){NULL, item};
    if (l->last != NULL) {
        l->last->next = w;
    } else {
        l->first = w;
    }
    l->last = w;
    o->waiting++;
    return WEIR_OK;
}

static uint32_t lane_of_key(const outlet *o, weir_str key) {
    return key_group_instance(key_group(key, o->key_groups), o->key_groups, o->count);
}

static void ignore_row(void *opaque, uint32_t row, const weir_error *err) {
    /* A record without the key goes to lane 0 like every other such record. */
    (void)opaque;
    (void)row;
    (void)err;
}

/* One selection of rows for each lane that some key leads to. */
static weir_status send_by_key(outlet *o, const weir_batch *batch, weir_error *err) {
    uint32_t n = batch->rows->count;
    weir_status status = WEIR_OK;
    arena *memory = arena_new(SIZE_MAX);
    uint32_t *lane_of = memory != NULL ? arena_array(memory, n, sizeof *lane_of) : NULL;
    uint32_t *chosen = memory != NULL ? arena_array(memory, n, sizeof *chosen) : NULL;
    text_column keys;
    if (lane_of == NULL || chosen == NULL) {
        status = error_set(err, WEIR_E_NOMEM, 0, "out of memory for an exchange by key");
        goto done;
    }
    status = template_eval_column(o->key, batch, memory, &keys, ignore_row, NULL, err);
    if (status != WEIR_OK) goto done;
    for (uint32_t row = 0; row < n; row++) {
        uint32_t at = keys.constant ? 0 : row;
        if (row > 0 && keys.ptr[at] == keys.ptr[keys.constant ? 0 : row - 1]) {
            lane_of[row] = lane_of[row - 1]; /* equal neighbours share their bytes */
        } else {
            lane_of[row] =
                keys.ptr[at] == NULL ? 0 : lane_of_key(o, str_make(keys.ptr[at], keys.len[at]));
        }
    }
    for (uint32_t l = 0; l < o->count && status == WEIR_OK; l++) {
        uint32_t count = 0;
        for (uint32_t row = 0; row < n; row++) {
            if (lane_of[row] == l) chosen[count++] = row;
        }
        if (count == 0) continue;
        const weir_batch *part = batch_select(o->home, batch, chosen, count);
        if (part == NULL) {
            status = error_set(err, WEIR_E_NOMEM, 0, "out of memory for an exchange by key");
            break;
        }
        status = lane_put(o, &o->lanes[l], (channel_item){ITEM_BATCH, part, NULL}, err);
    }
done:
    arena_free(memory);
    batch_release(batch);
    return status;
}

weir_status outlet_send(outlet *o, const weir_batch *batch, weir_error *err) {
    uint32_t l = 0;
    if (o->count > 1) {
        switch (o->edge->exchange) {
        case EXCHANGE_SPLIT:
            l = (uint32_t)(map_hash(batch->split) % o->count);
            break;
        case EXCHANGE_ROUND_ROBIN:
            l = o->turn++ % o->count;
            break;
        case EXCHANGE_KEY:
            return send_by_key(o, batch, err);
        }
    }
    return lane_put(o, &o->lanes[l], (channel_item){ITEM_BATCH, batch, NULL}, err);
}

weir_status outlet_mark(outlet *o, const channel_mark *like, weir_error *err) {
    for (uint32_t l = 0; l < o->count; l++) {
        channel_mark *mark = mark_new(like);
        if (mark == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a mark");
        weir_status status = lane_put(o, &o->lanes[l], (channel_item){like->kind, NULL, mark}, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

bool outlet_flush(outlet *o) {
    for (uint32_t k = 0; k < o->count && o->waiting > 0; k++) {
        lane *l = &o->lanes[k];
        while (l->first != NULL && channel_push(l->channel, &l->first->item)) {
            waiting *w = l->first;
            l->first = w->next;
            if (l->first == NULL) l->last = NULL;
            free(w);
            o->waiting--;
        }
    }
    return o->waiting == 0;
}
