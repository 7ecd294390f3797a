/*
 * Listing secrets: filters, order, pages.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "secretsmanager/secrets.h"

#define FILTERS_MAX 10u
#define RESULTS_MAX 100
#define TOKEN_LEN 24u /* 8 hex digits of the place, 16 of a keyed hash over them */

/* ---- tokens ---- */

void secrets_token_write(uint32_t at, char out[40]) {
    char place[9];
    snprintf(place, sizeof place, "%08x", at);
    snprintf(out, 40, "%s%016" PRIx64, place, map_hash(str_of(place)));
}

bool secrets_token(aws_call *call, uint32_t *from) {
    weir_str token = aws_in_str(call, "NextToken");
    *from = 0;
    if (!token.ptr) return true;
    uint32_t at = 0;
    for (size_t i = 0; token.len == TOKEN_LEN && i < 8; i++) {
        char c = token.ptr[i];
        at = at << 4 | (uint32_t)(c >= 'a' && c <= 'f'   ? c - 'a' + 10
                                  : c >= '0' && c <= '9' ? c - '0'
                                                         : 0);
    }
    char right[40];
    secrets_token_write(at, right);
    if (!str_eq_z(token, right)) {
        aws_fail(call, &SECRETS_TOKEN, "Invalid NextToken specified.");
        return false;
    }
    *from = at;
    return true;
}

/* ---- filters ---- */

static bool starts_nocase(weir_str text, weir_str prefix) {
    return text.len >= prefix.len && strncasecmp(text.ptr, prefix.ptr, (size_t)prefix.len) == 0;
}

/* Whether a word of the text begins so, in whatever case. */
static bool has_word(weir_str text, weir_str prefix) {
    for (size_t i = 0; i < text.len; i++) {
        bool begins = i == 0 || strchr(" /_+=.@-", text.ptr[i - 1]);
        if (begins && starts_nocase(str_make(text.ptr + i, (size_t)text.len - i), prefix))
            return true;
    }
    return false;
}

static bool one_fits(const secrets *s, const secret *one, weir_str key, weir_str value) {
    bool all = str_eq_z(key, "all");
    if (str_eq_z(key, "name")) return str_starts(str_of(one->name), value);
    if (str_eq_z(key, "primary-region"))
        return str_starts(str_of(local_settings(s->home)->region), value);
    if (str_eq_z(key, "owning-service")) return false; /* nobody's but the user's own */
    if (str_eq_z(key, "description")) return has_word(str_of(one->description), value);
    if (all && (has_word(str_of(one->name), value) || has_word(str_of(one->description), value)))
        return true;
    for (const secret_tag *t = one->tags; t; t = t->next) {
        if (all && (has_word(str_of(t->key), value) || has_word(str_of(t->value), value)))
            return true;
        if (str_eq_z(key, "tag-key") && str_starts(str_of(t->key), value)) return true;
        if (str_eq_z(key, "tag-value") && str_starts(str_of(t->value), value)) return true;
    }
    return false;
}

/* All filters must fit, of each one value; "!value" fits what value does not. */
static bool fits(const secrets *s, const secret *one, const weir_value *filters) {
    const weir_value *f = filters ? filters + 1 : NULL;
    for (uint32_t i = 0; filters && i < filters->size; i++, f = weir_value_next(f)) {
        weir_str key = weir_json_get_str(f, "Key", "");
        const weir_value *values = weir_json_get(f, "Values");
        const weir_value *v = values ? values + 1 : NULL;
        bool found = false;
        for (uint32_t k = 0; values && k < values->size && !found; k++, v = weir_value_next(v)) {
            weir_str value = weir_value_str(v);
            bool not = value.len && value.ptr[0] == '!';
            if (not ) value = str_make(value.ptr + 1, (size_t)value.len - 1);
            found = one_fits(s, one, key, value) != not ;
        }
        if (!found) return false;
    }
    return true;
}

static bool check_filter(aws_call *call, const weir_value *f) {
    static const char *const keys[] = {"description",    "name",           "tag-key", "tag-value",
                                       "primary-region", "owning-service", "all"};
    weir_str key = weir_json_get_str(f, "Key", "");
    const weir_value *values = weir_json_get(f, "Values");
    bool known = false;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        known = known || str_eq_z(key, keys[i]);
    bool ok = values && values->type == WEIR_V_ARRAY && values->size >= 1 && values->size <= 10;
    const weir_value *v = values ? values + 1 : NULL;
    for (uint32_t i = 0; ok && i < values->size; i++, v = weir_value_next(v))
        ok = v->type == WEIR_V_STRING && weir_value_str(v).len <= 512;
    if (!known)
        secrets_invalid(call, "filters.member.key",
                        "Member must satisfy enum value set: [description, name, tag-key, "
                        "tag-value, primary-region, owning-service, all]");
    else if (!ok)
        secrets_invalid(call, "filters.member.values", "Member must have length between 1 and 10");
    return known && ok;
}

static bool check_filters(aws_call *call, const weir_value *filters) {
    if (!filters) return true;
    if (filters->type != WEIR_V_ARRAY || filters->size > FILTERS_MAX) {
        secrets_invalid(call, "filters", "Member must have length less than or equal to 10");
        return false;
    }
    const weir_value *f = filters + 1;
    for (uint32_t i = 0; i < filters->size; i++, f = weir_value_next(f))
        if (!check_filter(call, f)) return false;
    return true;
}

/* ---- order ---- */

static int by_name(const void *a, const void *b) {
    const secret *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}
static int by_time(int64_t x, int64_t y, const void *a, const void *b) {
    return x < y ? -1 : x > y ? 1 : by_name(a, b);
}
static int by_created(const void *a, const void *b) {
    const secret *const *x = a, *const *y = b;
    return by_time((*x)->created_ms, (*y)->created_ms, a, b);
}
static int by_changed(const void *a, const void *b) {
    const secret *const *x = a, *const *y = b;
    return by_time((*x)->changed_ms, (*y)->changed_ms, a, b);
}
static int by_accessed(const void *a, const void *b) {
    const secret *const *x = a, *const *y = b;
    return by_time((*x)->accessed_ms, (*y)->accessed_ms, a, b);
}

static bool sort(aws_call *call, secret **list, uint32_t count) {
    static const struct {
        const char *word;
        int (*compare)(const void *a, const void *b);
    } orders[] = {{"created-date", by_created},
                  {"last-changed-date", by_changed},
                  {"last-accessed-date", by_accessed},
                  {"name", by_name}};
    weir_str by = aws_in_str(call, "SortBy"), order = aws_in_str(call, "SortOrder");
    int (*compare)(const void *a, const void *b) = NULL;
    if (!by.ptr) by = STR("created-date");
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        if (str_eq_z(by, orders[i].word)) compare = orders[i].compare;
    bool down = str_eq_z(order, "desc");
    if (!compare || (order.ptr && !down && !str_eq_z(order, "asc"))) {
        secrets_invalid(call, compare ? "sortOrder" : "sortBy",
                        compare ? "Member must satisfy enum value set: [asc, desc]"
                                : "Member must satisfy enum value set: [created-date, "
                                  "last-accessed-date, last-changed-date, name]");
        return false;
    }
    if (count) qsort(list, count, sizeof(secret *), compare);
    for (uint32_t i = 0; down && i < count / 2; i++) {
        secret *other = list[i];
        list[i] = list[count - 1 - i];
        list[count - 1 - i] = other;
    }
    return true;
}

/* ---- pages ---- */

/* What is past its recovery window goes first, one at a time: removing moves the map. */
static void purge(secrets *s) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (map_next(s->by_name, &cursor, &name, &value)) {
        secret *one = value;
        if (!one->deleted_ms || secrets_now(s) < one->deleted_ms) continue;
        secret_remove(s, one);
        cursor = 0;
    }
}

bool secrets_page(aws_call *call, bool planned, uint32_t most, secret_page *out) {
    secrets *s = call->state;
    const weir_value *filters = aws_in(call, "Filters"), *max = aws_in(call, "MaxResults");
    uint32_t from;
    *out = (secret_page){0};
    if (max && (max->type != WEIR_V_I64 || max->as.i64 < 1 || max->as.i64 > most)) {
        char text[96];
        snprintf(text, sizeof text, "Member must have value between 1 and %u", most);
        secrets_invalid(call, "maxResults", text);
        return false;
    }
    if (!check_filters(call, filters) || !secrets_token(call, &from)) return false;
    uint32_t room = max ? (uint32_t)max->as.i64 : most;
    purge(s);
    out->list = arena_array(call->memory, map_count(s->by_name) + 1, sizeof(secret *));
    if (!out->list) {
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return false;
    }
    size_t cursor = 0;
    weir_str name;
    void *value;
    uint32_t count = 0;
    while (map_next(s->by_name, &cursor, &name, &value)) {
        const secret *one = value;
        if ((planned || !one->deleted_ms) && fits(s, one, filters)) out->list[count++] = value;
    }
    if (!sort(call, out->list, count)) return false;
    if (from > count) from = count;
    out->list += from;
    out->count = count - from < room ? count - from : room;
    if (from + out->count < count) secrets_token_write(from + out->count, out->next);
    return true;
}
