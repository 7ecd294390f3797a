#include <inttypes.h>
#include <string.h>

#include "admin/faults.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

/* Counters of one "service.Operation". Names come from tables of operations, so they are few. */
typedef struct counters {
    uint64_t requests, errors, bytes_in, bytes_out;
    struct {
        unsigned status;
        uint64_t count;
    } by_status[8];
} counters;

struct stats {
    map *by_operation;
};

struct stats *stats_new(void) {
    struct stats *s = mem_zalloc(sizeof *s);
    if (s) s->by_operation = map_new();
    if (s && !s->by_operation) {
        mem_free(s);
        return NULL;
    }
    return s;
}

static void forget(struct stats *s) {
    size_t cursor = 0;
    weir_str key;
    void *value;
    while (map_next(s->by_operation, &cursor, &key, &value)) mem_free(value);
    map_free(s->by_operation);
}

void stats_free(struct stats *s) {
    if (!s) return;
    forget(s);
    mem_free(s);
}

void stats_reset(struct stats *s) {
    map *fresh = map_new();
    if (!fresh) return;
    forget(s);
    s->by_operation = fresh;
}

void stats_count(struct stats *s, const char *service, const char *operation, unsigned status,
                 uint64_t bytes_in, uint64_t bytes_out) {
    buf name;
    buf_init(&name, 256);
    buf_printf(&name, "%s.%s", service, operation);
    counters *c = buf_ok(&name) ? map_get(s->by_operation, buf_str(&name)) : NULL;
    if (!c && buf_ok(&name) && (c = mem_zalloc(sizeof *c)) &&
        !map_put(s->by_operation, buf_str(&name), c)) {
        mem_free(c);
        c = NULL;
    }
    buf_free(&name);
    if (!c) return;
    c->requests++;
    c->errors += status >= 400;
    c->bytes_in += bytes_in;
    c->bytes_out += bytes_out;
    for (size_t i = 0; i < sizeof c->by_status / sizeof c->by_status[0]; i++) {
        if (c->by_status[i].count && c->by_status[i].status != status) continue;
        c->by_status[i].status = status;
        c->by_status[i].count++;
        break;
    }
}

void stats_write(const struct stats *s, buf *out) {
    size_t cursor = 0;
    weir_str key;
    void *value;
    bool comma = false;
    buf_append_z(out, "{\"operations\":{");
    while (map_next(s->by_operation, &cursor, &key, &value)) {
        const counters *c = value;
        if (comma) buf_append_char(out, ',');
        comma = true;
        buf_append_json(out, key);
        buf_printf(out,
                   ":{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"bytes_in\":%" PRIu64
                   ",\"bytes_out\":%" PRIu64 ",\"status\":{",
                   c->requests, c->errors, c->bytes_in, c->bytes_out);
        for (size_t i = 0;
             i < sizeof c->by_status / sizeof c->by_status[0] && c->by_status[i].count; i++)
            buf_printf(out, "%s\"%u\":%" PRIu64, i ? "," : "", c->by_status[i].status,
                       c->by_status[i].count);
        buf_append_z(out, "}}");
    }
    buf_append_z(out, "}}");
}
