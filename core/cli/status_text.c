#include "cli/status_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/operate.h"
#include "cli/table.h"

static int64_t i64(const weir_value *v, const char *key) {
    return weir_json_get_i64(v, key, 0);
}

static weir_str text(const weir_value *v, const char *key) {
    return weir_json_get_str(v, key, "");
}

/* A member's text as a cell: with a NUL behind it. */
static const char *cell(arena *memory, const weir_value *v, const char *key) {
    weir_str s = arena_str(memory, text(v, key));
    return s.ptr != NULL ? s.ptr : "";
}

static const char *count_cell(arena *memory, const weir_value *v, const char *key) {
    char out[32];
    int64_t n = i64(v, key);
    weir_str s = arena_str(memory, str_of(human_count(n > 0 ? (uint64_t)n : 0, out)));
    return s.ptr != NULL ? s.ptr : "";
}

static const char *bytes_cell(arena *memory, const weir_value *v, const char *key) {
    char out[32];
    weir_str s = arena_str(memory, str_of(human_bytes((double)i64(v, key), out)));
    return s.ptr != NULL ? s.ptr : "";
}

/* Checkpoints take a few milliseconds: below ten a decimal is told. */
static const char *span(double ms, char out[32]) {
    if (ms < 0 || ms >= 10) return human_duration((int64_t)ms, out);
    snprintf(out, 32, "%.1f ms", ms);
    return out;
}

/* A time in milliseconds; "-" if it is not known. */
static const char *ms_cell(arena *memory, const weir_value *v, const char *key) {
    char out[32];
    weir_str s = arena_str(memory, str_of(span(weir_json_get_f64(v, key, -1), out)));
    return s.ptr != NULL ? s.ptr : "";
}

static const char *lag_cell(arena *memory, const weir_value *v) {
    char out[32];
    weir_str s = arena_str(memory, str_of(human_duration(weir_json_get_i64(v, "lag_ms", -1), out)));
    return s.ptr != NULL ? s.ptr : "";
}

/* The elements of an array member, one after the other: NULL begins, NULL ends. */
static const weir_value *each(const weir_value *v, const char *key, uint32_t *left,
                              const weir_value *at) {
    if (at == NULL) {
        const weir_value *array = weir_json_get(v, key);
        if (array == NULL || array->type != WEIR_V_ARRAY || array->size == 0) return NULL;
        *left = array->size - 1;
        return array + 1;
    }
    return (*left)-- > 0 ? weir_value_next(at) : NULL;
}

void status_add_up(const weir_value *status, status_sums *out) {
    uint32_t left = 0;
    *out = (status_sums){0};
    for (const weir_value *n = NULL; (n = each(status, "nodes", &left, n)) != NULL;) {
        out->failed += i64(n, "failed");
        if (str_eq_z(text(n, "kind"), "source")) {
            out->in += i64(n, "records_in");
            out->bytes_in += i64(n, "bytes_in");
        } else if (str_eq_z(text(n, "kind"), "sink") && !weir_json_get_bool(n, "dead_letter", 0)) {
            out->out += i64(n, "records_out");
            out->bytes_out += i64(n, "bytes_out");
        }
    }
}

const weir_value *status_newest_done(const weir_value *status) {
    uint32_t left = 0;
    for (const weir_value *c = NULL; (c = each(status, "checkpoints", &left, c)) != NULL;)
        if (str_eq_z(text(c, "outcome"), "done")) return c;
    return NULL;
}

/* ---- parts ---- */

static void put_line(buf *out, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put_line(buf *out, const char *key, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_printf(out, "  %-13s", key);
    buf_vprintf(out, format, args);
    buf_append_char(out, '\n');
    va_end(args);
}

static void put_head(const weir_value *s, buf *out) {
    char time[32];
    weir_str state = text(s, "state"), delivery = text(s, "delivery");
    const weir_value *up = weir_json_get(s, "uptime_ms");
    buf_append_safe(out, text(s, "pipeline"));
    buf_append_z(out, ": ");
    buf_append_safe(out, state);
    if (up != NULL) buf_printf(out, ", up %s", human_duration(i64(s, "uptime_ms"), time));
    if (i64(s, "pid") > 0) buf_printf(out, ", worker %" PRId64, i64(s, "pid"));
    if (delivery.len > 0) {
        buf_append_z(out, ", ");
        buf_append_safe(out, delivery);
    }
    buf_append_char(out, '\n');
    const weir_value *next = weir_json_get(s, "next_start_ms");
    if (next != NULL)
        put_line(out, "next start", "in %s", human_duration(i64(s, "next_start_ms"), time));
    int64_t since = i64(s, "supervised_us");
    if (since > 0) {
        char age[32];
        put_line(out, "restarts", "%" PRId64 " since %s (%s ago)", i64(s, "restarts"),
                 time_text(since, time), human_age(since, age));
    }
    if (text(s, "last_error").len > 0) {
        buf_append_z(out, "  last error   ");
        buf_append_safe(out, text(s, "last_error"));
        buf_append_char(out, '\n');
    }
    if (weir_json_get(s, "memory_limit") != NULL) {
        char used[32], limit[32], rss[32];
        put_line(out, "memory", "%s of %s for records, %s in all",
                 human_bytes((double)i64(s, "memory_bytes"), used),
                 human_bytes((double)i64(s, "memory_limit"), limit),
                 human_bytes((double)i64(s, "rss_bytes"), rss));
    }
    if (i64(s, "restored_epoch") > 0)
        put_line(out, "began with", "epoch %" PRId64, i64(s, "restored_epoch"));
    if (i64(s, "lost") > 0)
        put_line(out, "lost", "%" PRId64 " prepared pieces can no longer be committed",
                 i64(s, "lost"));
}

static void put_nodes(const weir_value *s, arena *memory, buf *out) {
    table t = {.memory = memory, .indent = "  ", .right = 0x7f8};
    uint32_t left = 0;
    TABLE_ROW(&t, "NODE", "KIND", "TYPE", "IN", "", "OUT", "", "FAILED", "SKIPPED", "DEAD LETTERS",
              "RETRIED");
    for (const weir_value *n = NULL; (n = each(s, "nodes", &left, n)) != NULL;) {
        TABLE_ROW(&t, cell(memory, n, "name"), cell(memory, n, "kind"), cell(memory, n, "type"),
                  count_cell(memory, n, "records_in"), bytes_cell(memory, n, "bytes_in"),
                  count_cell(memory, n, "records_out"), bytes_cell(memory, n, "bytes_out"),
                  count_cell(memory, n, "failed"), count_cell(memory, n, "skipped"),
                  count_cell(memory, n, "dead_lettered"), count_cell(memory, n, "retried"));
    }
    if (t.rows > 1) table_print(&t, 0, out);
}

static void put_splits(const weir_value *s, arena *memory, buf *out) {
    table t = {.memory = memory, .indent = "  ", .right = 1u << 4 | 1u << 5};
    uint32_t left = 0, shown = 0;
    int64_t all = i64(s, "split_count");
    TABLE_ROW(&t, "SPLIT", "NODE", "STATE", "POSITION", "LAG", "RECORDS");
    for (const weir_value *p = NULL;
         shown < STATUS_SPLITS && (p = each(s, "splits", &left, p)) != NULL; shown++) {
        TABLE_ROW(&t, cell(memory, p, "split"), cell(memory, p, "node"), cell(memory, p, "state"),
                  text(p, "position").len > 0 ? cell(memory, p, "position") : "-",
                  lag_cell(memory, p), count_cell(memory, p, "records"));
    }
    if (shown == 0) return;
    buf_append_char(out, '\n');
    table_print(&t, 0, out);
    if (all > shown) buf_printf(out, "  and %" PRId64 " more: --json lists all\n", all - shown);
}

static void put_checkpoints(const weir_value *s, arena *memory, buf *out) {
    table t = {.memory = memory, .indent = "  ", .right = 1u | 0x1f8};
    uint32_t left = 0;
    TABLE_ROW(&t, "EPOCH", "KIND", "OUTCOME", "AGE", "SIZE", "ALIGNED", "DURABLE", "SYNC",
              "COMMITTED", "");
    for (const weir_value *c = NULL; (c = each(s, "checkpoints", &left, c)) != NULL;) {
        char epoch[32], age[32], share[64] = "-", time[32];
        double durable = weir_json_get_f64(c, "durable_ms", 0);
        double sync = weir_json_get_f64(c, "sync_ms", 0);
        bool known = weir_json_get(c, "durable_ms") != NULL;
        snprintf(epoch, sizeof epoch, "%" PRId64, i64(c, "epoch"));
        /* A savepoint is written again, sealed, when it is durable: no share of that time. */
        if (known && sync <= durable && durable > 0) {
            snprintf(share, sizeof share, "%s (%.0f%%)", span(sync, time), 100 * sync / durable);
        } else if (known) {
            snprintf(share, sizeof share, "%s", span(sync, time));
        }
        TABLE_ROW(&t, epoch, cell(memory, c, "kind"), cell(memory, c, "outcome"),
                  human_age(i64(c, "started_us"), age),
                  known ? bytes_cell(memory, c, "bytes") : "-",
                  ms_cell(memory, c, "acknowledged_ms"), ms_cell(memory, c, "durable_ms"), share,
                  ms_cell(memory, c, "committed_ms"), cell(memory, c, "error"));
    }
    if (t.rows == 1) return;
    buf_append_char(out, '\n');
    table_print(&t, 0, out);
}

/* One that does not run: where it can go on. */
static void put_stopped(const weir_value *s, buf *out) {
    const weir_value *c = weir_json_get(s, "checkpoint");
    char age[32], size[32];
    if (c != NULL && c->type == WEIR_V_OBJECT) {
        put_line(out, "checkpoint", "epoch %" PRId64 " (%.*s), %s ago, %s", i64(c, "epoch"),
                 STR_FMT(text(c, "kind")), human_age(i64(c, "created_us"), age),
                 human_bytes((double)i64(c, "bytes"), size));
    } else if (c != NULL) {
        put_line(out, "checkpoint", "none");
    }
    if (i64(s, "damaged") > 0)
        put_line(out, "damaged", "%" PRId64 " newer than that cannot be read", i64(s, "damaged"));
    if (i64(s, "savepoints") > 0) put_line(out, "savepoints", "%" PRId64, i64(s, "savepoints"));
    if (text(s, "error").len > 0) {
        buf_append_z(out, "  ");
        buf_append_safe(out, text(s, "error"));
        buf_append_char(out, '\n');
    }
}

void status_text(const weir_value *status, arena *memory, buf *out) {
    put_head(status, out);
    put_stopped(status, out);
    if (weir_json_get(status, "nodes") == NULL) return;
    buf_append_char(out, '\n');
    put_nodes(status, memory, out);
    put_splits(status, memory, out);
    put_checkpoints(status, memory, out);
}
