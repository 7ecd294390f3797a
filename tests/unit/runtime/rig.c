#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- batches ---- */

static weir_str copy(weir_batch_builder *b, const char *text, size_t len) {
    if (text == NULL) return (weir_str){NULL, 0};
    char *bytes = batch_facet.alloc(b, len + 1);
    assert_non_null(bytes);
    memcpy(bytes, text, len);
    return str_make(bytes, len);
}

const weir_batch *rig_batch(batch_home *home, const char *split, const rec *records, uint32_t n) {
    bool times = false, positions = false;
    for (uint32_t i = 0; i < n; i++) {
        if (records[i].time_us != 0) times = true;
        if (records[i].position != NULL) positions = true;
    }
    weir_batch_builder *b = batch_begin(home, n, WEIR_COL_KEY | (times ? WEIR_COL_TIME : 0));
    assert_non_null(b);
    const char **ptrs = calloc(n + 1, sizeof *ptrs);
    uint32_t *lens = calloc(n + 1, sizeof *lens);
    for (uint32_t i = 0; i < n; i++) {
        const rec *r = &records[i];
        weir_batch_columns c = {.struct_size = sizeof c};
        assert_int_equal(batch_facet.reserve(b, 1, &c), WEIR_OK);
        weir_str value =
            copy(b, r->value, r->len > 0 || r->value == NULL ? r->len : strlen(r->value));
        weir_str key = copy(b, r->key, r->key != NULL ? strlen(r->key) : 0);
        c.value_ptr[0] = value.ptr;
        c.value_len[0] = (uint32_t)value.len;
        c.key_ptr[0] = key.ptr;
        c.key_len[0] = (uint32_t)key.len;
        if (times) c.time_us[0] = r->time_us != 0 ? r->time_us : WEIR_TIME_NONE;
        assert_int_equal(batch_facet.commit(b, 1), WEIR_OK);
        if (r->header != NULL) {
            weir_str text = r->header_value != NULL
                                ? copy(b, r->header_value, strlen(r->header_value))
                                : (weir_str){NULL, 0};
            assert_int_equal(batch_facet.header(b, copy(b, r->header, strlen(r->header)), text),
                             WEIR_OK);
        }
        weir_str position = copy(b, r->position, r->position != NULL ? strlen(r->position) : 0);
        ptrs[i] = position.ptr;
        lens[i] = (uint32_t)position.len;
    }
    weir_column column = {.struct_size = sizeof column,
                          .encoding = WEIR_COLUMN_PLAIN,
                          .name = STR(WEIR_META_POSITION),
                          .ptr = ptrs,
                          .len = lens};
    if (positions) assert_int_equal(batch_facet.meta(b, &column), WEIR_OK);
    weir_batch_seal seal = {
        .struct_size = sizeof seal, .split = str_of(split), .resume = STR("resume"), .lag_ms = -1};
    const weir_batch *batch = batch_facet.seal(b, &seal);
    assert_non_null(batch);
    free(ptrs);
    free(lens);
    return batch;
}

const weir_batch *rig_letters(batch_home *home, const char *split, const char *letters) {
    rec records[64] = {0};
    char text[64][2];
    uint32_t n = (uint32_t)strlen(letters);
    assert_true(n < 64);
    for (uint32_t i = 0; i < n; i++) {
        text[i][0] = letters[i];
        text[i][1] = '\0';
        records[i].value = text[i];
    }
    return rig_batch(home, split, records, n);
}

const weir_batch *rig_decoded(batch_home *home, const weir_batch *batch) {
    weir_tape_builder *t = batch_tape_begin(home, batch);
    assert_non_null(t);
    for (uint32_t i = 0; i < batch->rows->count; i++) {
        weir_tape_room room = {.struct_size = sizeof room};
        assert_int_equal(batch_tape_facet.reserve(t, 5, &room), WEIR_OK);
        weir_value *v = room.nodes;
        v[0] = (weir_value){.type = WEIR_V_OBJECT, .size = 2, .as.skip = 5};
        v[1] = (weir_value){.type = WEIR_V_STRING, .size = 1, .as.ptr = "v"};
        v[2] = (weir_value){.type = WEIR_V_STRING,
                            .size = batch->rows->value_len[i],
                            .as.ptr = batch->rows->value_ptr[i]};
        v[3] = (weir_value){.type = WEIR_V_STRING, .size = 1, .as.ptr = "n"};
        v[4] = (weir_value){.type = WEIR_V_I64, .as.i64 = i};
        assert_int_equal(batch_tape_facet.row(t, 5, i), WEIR_OK);
    }
    const weir_batch *decoded = batch_tape_finish(t);
    assert_non_null(decoded);
    batch_release(batch);
    return decoded;
}

/* ---- templates ---- */

const template_program *rig_template(arena *memory, const char *text) {
    const template_program *program = NULL;
    size_t at;
    weir_error *err = error_new();
    if (template_parse(str_of(text), memory, &program, &at, err) != WEIR_OK) {
        fail_msg("template \"%s\": %s", text, error_text(err));
    }
    error_free(err);
    return program;
}

static int64_t fixed_wall_us(void *opaque) {
    (void)opaque;
    return INT64_C(1700000000500000);
}

static uint64_t counting_random(void *opaque) {
    return ++*(uint64_t *)opaque;
}

static uint64_t random_state;
const template_env rig_env = {fixed_wall_us, counting_random, &random_state};

/* SplitMix64 over the state that a test may set, so that delays spread. */
static uint64_t mixed_random(void *opaque) {
    uint64_t z = atomic_fetch_add(&((rig *)opaque)->sink.random, UINT64_C(0x9e3779b97f4a7c15));
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- the sink ---- */

static weir_status sink_write(void *self, weir_write *args) {
    rig *r = self;
    assert_true(r->call_count < RIG_CALLS);
    write_call *c = &r->calls[r->call_count++];
    const weir_rows *rows = args->request->rows;
    *c = (write_call){.token = args->token,
                      .count = rows->count,
                      .group = args->request->group,
                      .attempt = args->request->attempt,
                      .request = args->request};
    size_t at = 0;
    for (uint32_t i = 0; i < rows->count && at + rows->value_len[i] + 2 < sizeof c->values; i++) {
        if (i > 0) c->values[at++] = ' ';
        memcpy(c->values + at, rows->value_ptr[i], rows->value_len[i]);
        at += rows->value_len[i];
    }
    if (r->on_write != NULL) return r->on_write(r, args);
    args->taken = rows->count;
    return WEIR_OK;
}

void rig_init(rig *r) {
    memset(r, 0, sizeof *r);
    r->memory = arena_new(16 << 20);
    r->home = batch_home_new(UINT64_MAX / 2, NULL, NULL);
    r->err = error_new();
    wake_init(&r->wake);
    wake_init(&r->letters_wake);
    r->node.name = STR("out");
    r->node.kind = WEIR_KIND_SINK;
    r->node.batch.buffered = 10000;
    r->node.retry =
        (retry_spec){.attempts = UINT64_MAX, .timeout_ns = 60 * CLOCK_NS_PER_S, .jitter = true};
    r->stage = (plan_stage){.kind = STAGE_SINK,
                            .node = &r->node,
                            .parallelism = 1,
                            .buffered_bytes = UINT64_C(1) << 30};
    r->note.kind = WEIR_KIND_SINK;
    r->note.name = STR("fake");
    r->bound.note = &r->note;
    r->bound.ops.sink.write = sink_write;
    r->limits = (weir_limits){.struct_size = sizeof r->limits, .in_flight = 1};
    r->letters_node.name = STR("letters");
    r->letters_node.kind = WEIR_KIND_SINK;
    r->letters_stage = (plan_stage){.kind = STAGE_SINK, .node = &r->letters_node, .parallelism = 1};
    r->letters_edge = (plan_edge){.from = &r->stage,
                                  .to = &r->letters_stage,
                                  .from_node = &r->node,
                                  .to_node = &r->letters_node,
                                  .dead_letters = true};
}

void rig_option(rig *r, const char *key, const char *text, bool groups) {
    size_t at = r->node.options.count++;
    assert_true(at < 4);
    r->options[at] =
        (note_option){.name = str_of(key), .type = OPTION_TEMPLATE, .groups_requests = groups};
    r->values[at] = (option_value){.key = str_of(key),
                                   .option = &r->options[at],
                                   .text = str_of(text),
                                   .tmpl = rig_template(r->memory, text)};
    r->node.options.values = r->values;
}

void rig_start(rig *r) {
    instance *i = &r->sink;
    i->head.abi.struct_size = sizeof(weir_ctx);
    i->head.abi.host = &instance_host;
    i->head.home = r->home;
    i->bound = &r->bound;
    i->node = &r->node;
    i->options = &r->node.options;
    i->self = r;
    i->wake = &r->wake;
    snprintf(i->where, sizeof i->where, "out/fake[0]");
    snprintf(i->component, sizeof i->component, "fake");
    pthread_mutex_init(&i->lock, NULL);
    atomic_init(&i->random, 42);
    if (r->node.on_error == ON_ERROR_DEAD_LETTER) {
        r->letters_channel = channel_new(1 << 20, &r->wake, &r->letters_wake);
        r->letters = outlet_new(&r->letters_edge, r->home, 128, &rig_env);
        assert_non_null(r->letters);
        outlet_connect(r->letters, 0, r->letters_channel);
    }
    r->failures = failures_new(&r->node, r->home, r->letters, &r->counters);
    assert_non_null(r->failures);
    r->env = (template_env){fixed_wall_us, mixed_random, r};
    r->batcher = batcher_new(&r->stage, i, &r->limits, r->failures, &r->counters, &r->env, r->err);
    assert_non_null(r->batcher);
}

void rig_end(rig *r) {
    batcher_free(r->batcher);
    failures_free(r->failures);
    outlet_free(r->letters);
    channel_free(r->letters_channel);
    for (completion *c = instance_take_completions(&r->sink); c != NULL;) {
        completion *next = c->next;
        completion_free(c);
        c = next;
    }
    pthread_mutex_destroy(&r->sink.lock);
    error_free(r->err);
    assert_int_equal(batch_home_used(r->home), 0);
    batch_home_free(r->home);
    arena_free(r->memory);
}

static const weir_host_task *task_facet_of(const rig *r) {
    const weir_host *host = r->sink.head.abi.host;
    return host->get_extension(host, WEIR_HOST_TASK);
}

void rig_add(rig *r, const char *letters) {
    const weir_batch *batch = rig_letters(r->home, "s", letters);
    prepared *texts = NULL;
    assert_int_equal(template_set_prepare(batcher_templates(r->batcher), r->home, r->failures,
                                          &batch, &texts, r->err),
                     WEIR_OK);
    assert_non_null(batch);
    assert_int_equal(batcher_add(r->batcher, batch, texts, r->err), WEIR_OK);
}

void rig_pump(rig *r, bool cut) {
    weir_status status = batcher_pump(r->batcher, cut, r->err);
    if (status != WEIR_OK) fail_msg("pump: %s", error_text(r->err));
}

void rig_pump_until(rig *r, uint32_t calls) {
    int64_t give_up = clock_mono_ns(&clock_system) + 30 * CLOCK_NS_PER_S;
    while (r->call_count < calls) {
        rig_pump(r, false);
        if (r->call_count >= calls) break;
        int64_t next = batcher_next_ns(r->batcher);
        assert_true(next != INT64_MAX); /* else nothing would ever happen */
        assert_true(clock_mono_ns(&clock_system) < give_up);
        wake_wait(&r->wake, next);
    }
}

void rig_ok(rig *r, uint32_t call) {
    weir_result result = {.struct_size = sizeof result};
    task_facet_of(r)->write_done(&r->sink.head.abi, r->calls[call].token, &result);
}

void rig_fail(rig *r, uint32_t call, weir_status status, uint32_t flags) {
    weir_error *why = error_new();
    error_set(why, status, flags, "scripted");
    weir_result result = {.struct_size = sizeof result, .status = status, .error = why};
    task_facet_of(r)->write_done(&r->sink.head.abi, r->calls[call].token, &result);
    error_free(why);
}

void rig_fail_row(rig *r, uint32_t call, uint32_t row, weir_status status, uint32_t flags) {
    weir_error *why = error_new();
    error_set(why, status, flags, "scripted row");
    const weir_error *errors[] = {why};
    uint32_t index = 0;
    weir_result result = {.struct_size = sizeof result,
                          .failed_index = &row,
                          .failed_status = &status,
                          .failed_error = &index,
                          .failed_count = 1,
                          .errors = errors,
                          .error_count = 1};
    task_facet_of(r)->write_done(&r->sink.head.abi, r->calls[call].token, &result);
    error_free(why);
}

void rig_assert_call(const rig *r, uint32_t call, const char *values) {
    assert_true(call < r->call_count);
    assert_string_equal(r->calls[call].values, values);
}

void rig_assert_done(const rig *r, uint64_t out) {
    assert_true(batcher_idle(r->batcher));
    assert_int_equal(batcher_pending(r->batcher), 0);
    assert_int_equal(count_get(&r->counters.records_out), out);
    assert_true(batcher_room(r->batcher));
    assert_int_equal(batcher_next_ns(r->batcher), INT64_MAX);
}
