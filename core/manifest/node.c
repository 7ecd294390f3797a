#include "manifest/node.h"

#include "manifest/component.h"
#include "manifest/format.h"
#include "manifest/reference.h"
#include "manifest/value.h"
#include "manifest/words.h"

#define BIT(kind) (1u << (kind))
#define SOURCE BIT(WEIR_KIND_SOURCE)
#define SINK BIT(WEIR_KIND_SINK)
#define TRANSFORM BIT(WEIR_KIND_TRANSFORM)

/* Every word of the core that a node may have, and on which kinds it means something. */
static const weir_str core_words[] = {
    OPTION_TEXT("type"),     OPTION_TEXT("input"),       OPTION_TEXT("inputs"),
    OPTION_TEXT("format"),   OPTION_TEXT("parallelism"), OPTION_TEXT("exchange"),
    OPTION_TEXT("on_error"), OPTION_TEXT("event_time"),  OPTION_TEXT("batch"),
    OPTION_TEXT("retry"),    OPTION_TEXT("delivery"),    OPTION_TEXT("isolation"),
};
static const unsigned core_word_kinds[COUNT_OF(core_words)] = {
    SOURCE | TRANSFORM | SINK,
    TRANSFORM | SINK,
    TRANSFORM | SINK,
    SOURCE | SINK,
    SOURCE | TRANSFORM | SINK,
    TRANSFORM | SINK,
    SOURCE | TRANSFORM | SINK,
    SOURCE,
    SINK,
    SOURCE | SINK,
    SINK,
    SOURCE | TRANSFORM | SINK,
};

static const weir_str isolations[] = {OPTION_TEXT("none"), OPTION_TEXT("process")};
static const weir_str deliveries[] = {OPTION_TEXT("at_most_once"), OPTION_TEXT("at_least_once"),
                                      OPTION_TEXT("exactly_once")};
static const weir_str unlimited[] = {OPTION_TEXT("unlimited")};
static const weir_str jitters[] = {OPTION_TEXT("full"), OPTION_TEXT("none")};
static const weir_str units[] = {OPTION_TEXT("auto"), OPTION_TEXT("s"), OPTION_TEXT("ms"),
                                 OPTION_TEXT("us"), OPTION_TEXT("iso8601")};

static const note_option event_time_words[] = {
    {WORD("field", OPTION_STRING)},
    {WORD("unit", OPTION_ENUM), DEFAULT("auto"), VALUES(units)},
    {WORD("out_of_order", OPTION_DURATION),
     OPTION_REFUSED("watermarks do not exist yet in this version")},
    {WORD("idle", OPTION_DURATION), OPTION_REFUSED("watermarks do not exist yet in this version")},
    {WORD("align", OPTION_MAP), OPTION_REFUSED("watermarks do not exist yet in this version")},
};
static const note_option batch_words[] = {
    {WORD("records", OPTION_INT), RANGE(1, LIMIT_BATCH_RECORDS)},
    {WORD("bytes", OPTION_SIZE), RANGE(1, 1e12)},
    {WORD("linger", OPTION_DURATION), DEFAULT("0"), RANGE(0, HOURS(1))},
    {WORD("in_flight", OPTION_INT), RANGE(1, 10000)},
    {WORD("buffered", OPTION_INT), DEFAULT("10000"), RANGE(1, 100e6)},
};
static const note_option retry_words[] = {
    {WORD("attempts", OPTION_INT), DEFAULT("unlimited"), VALUES(unlimited), RANGE(1, 1000000000)},
    {WORD("base", OPTION_DURATION), DEFAULT("300ms"), RANGE(MILLISECONDS(1), HOURS(1))},
    {WORD("max", OPTION_DURATION), DEFAULT("20s"), RANGE(MILLISECONDS(1), HOURS(24))},
    {WORD("jitter", OPTION_ENUM), DEFAULT("full"), VALUES(jitters)},
    {WORD("timeout", OPTION_DURATION), DEFAULT("60s"), RANGE(MILLISECONDS(1), HOURS(24))},
};
static const note_option node_words[] = {
    {WORD("parallelism", OPTION_INT), RANGE(1, LIMIT_PARALLELISM)},
    {WORD("isolation", OPTION_ENUM), DEFAULT("none"), VALUES(isolations)},
    {WORD("delivery", OPTION_ENUM), VALUES(deliveries)},
    {WORD("batch", OPTION_MAP), FIELDS(batch_words)},
    {WORD("retry", OPTION_MAP), FIELDS(retry_words)},
    {WORD("event_time", OPTION_MAP), FIELDS(event_time_words)},
};

static void read_component(load *l, const tree_node *map, draft *d);
static void read_core_words(load *l, const tree_node *map, const settings_spec *settings, draft *d);
static void read_inputs(load *l, const tree_node *map, draft *d);
static void read_on_error(load *l, const tree_pair *pair, draft *d);
static void read_exchange(load *l, const tree_pair *pair, draft *d);

const char *node_kind(uint32_t kind) {
    return kind == WEIR_KIND_SOURCE ? "source" : kind == WEIR_KIND_SINK ? "sink" : "transform";
}

const char *node_section(uint32_t kind) {
    return kind == WEIR_KIND_SOURCE ? "sources" : kind == WEIR_KIND_SINK ? "sinks" : "transforms";
}

/* Words of the core that mean nothing on a node of this kind. */
static void check_words(load *l, const tree_node *map, const draft *d) {
    for (size_t i = 0; i < map->count; i++) {
        for (size_t w = 0; w < COUNT_OF(core_words); w++) {
            if (!str_eq(map->pairs[i].key, core_words[w])) continue;
            if ((core_word_kinds[w] & BIT(d->node->kind)) != 0) continue;
            unsigned kinds = core_word_kinds[w];
            const char *where = kinds == SINK              ? "sinks"
                                : kinds == SOURCE          ? "sources"
                                : kinds == (SOURCE | SINK) ? "sources and sinks"
                                                           : "transforms and sinks";
            load_error(l, "misplaced-key", map->pairs[i].at, NULL,
                       "'%.*s' is a word of %s, found in %s", STR_FMT(core_words[w]), where,
                       d->owner);
            reference_check(l, map->pairs[i].value);
        }
    }
}

/* The pair of a word, unless it stands on the wrong kind of node, which is reported elsewhere. */
static const tree_pair *get_word(const tree_node *map, const char *word, const draft *d) {
    for (size_t w = 0; w < COUNT_OF(core_words); w++) {
        if (!str_eq_z(core_words[w], word)) continue;
        return (core_word_kinds[w] & BIT(d->node->kind)) != 0 ? tree_get(map, word) : NULL;
    }
    return NULL;
}

void node_read(load *l, const tree_pair *pair, uint32_t kind, const settings_spec *settings,
               draft *out) {
    node *n = out->node;
    n->name = load_keep(l, pair->key);
    n->kind = kind;
    n->at = pair->at;
    n->type = str_of("");
    n->parallelism = settings->parallelism;
    n->delivery = settings->delivery;
    out->owner = load_printf(l, "%s %s", node_kind(kind), load_show(l, pair->key));
    if (pair->value->kind != TREE_MAP) {
        out->has_inputs = true; /* what they are is not known: say nothing of them */
        load_error(l, "wrong-type", pair->value->at, "write {type: COMPONENT, ...}",
                   "%s must be a mapping, found %s", out->owner, value_kind(pair->value));
        return;
    }
    const tree_node *map = pair->value;
    check_words(l, map, out);
    read_component(l, map, out);
    read_core_words(l, map, settings, out);
    if (kind != WEIR_KIND_SOURCE) {
        read_inputs(l, map, out);
        read_exchange(l, get_word(map, "exchange", out), out);
    }
    read_on_error(l, get_word(map, "on_error", out), out);
    if (kind != WEIR_KIND_TRANSFORM) {
        format_read(l, get_word(map, "format", out), out->note, out->owner, n->at, &n->format);
    }
    if (n->event_time.field.len > 0 && str_eq(n->format.type, STR("raw"))) {
        load_error(l, "option-requires", tree_get(map, "event_time")->at,
                   "name the format of the records, as in format: json",
                   "'event_time.field' reads a field, but %s has no 'format'", out->owner);
    }
}

/* ---- the component and its options ---- */

static void check_unknown(load *l, const tree_node *map) {
    for (size_t i = 0; i < map->count; i++) {
        bool core = false;
        for (size_t w = 0; w < COUNT_OF(core_words); w++) {
            core = core || str_eq(map->pairs[i].key, core_words[w]);
        }
        if (!core) reference_check(l, map->pairs[i].value);
    }
}

static void read_component(load *l, const tree_node *map, draft *d) {
    node *n = d->node;
    const tree_pair *type = tree_get(map, "type");
    if (type == NULL) {
        load_error(l, "missing-key", n->at, "for example type: file", "%s needs a 'type'",
                   d->owner);
    } else if (value_text(l, "type", type->value, &n->type)) {
        n->component = component_find(l, n->kind, n->type, type->value->at);
    }
    if (n->component == NULL) {
        check_unknown(l, map);
        return;
    }
    d->note = component_note(n->component);
    options_source source = {
        .map = map,
        .table = d->note->options,
        .count = d->note->option_count,
        .prefixes = d->note->prefixes,
        .prefix_count = d->note->prefix_count,
        .rules = d->note->rules,
        .rule_count = d->note->rule_count,
        .others = core_words,
        .other_count = COUNT_OF(core_words),
        .component = true,
        .owner = load_printf(l, "%s (%.*s)", d->owner, STR_FMT(n->type)),
        .at = n->at,
    };
    options_read(l, &source, &n->options);
}

/* ---- words that are tables ---- */

static void read_batch(load *l, const options *o, draft *d) {
    batch_spec *b = &d->node->batch;
    b->records = (uint32_t)options_i64(o, "batch.records", 0);
    b->bytes = (uint64_t)options_i64(o, "batch.bytes", 0);
    b->linger_ns = options_i64(o, "batch.linger", 0);
    b->in_flight = (uint32_t)options_i64(o, "batch.in_flight", 0);
    b->buffered = (uint32_t)options_i64(o, "batch.buffered", 0);
    const struct {
        const char *key;
        uint64_t given, most;
    } limits[] = {
        {"batch.records", b->records, d->note != NULL ? d->note->limits.request_records : 0},
        {"batch.bytes", b->bytes, d->note != NULL ? d->note->limits.request_bytes : 0},
        {"batch.in_flight", b->in_flight, d->note != NULL ? d->note->limits.in_flight : 0},
    };
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        if (limits[i].most == 0 || limits[i].given <= limits[i].most) continue;
        load_error(l, "out-of-range", options_get(o, str_of(limits[i].key))->at, NULL,
                   "'%s' is %llu, but %.*s takes at most %llu", limits[i].key,
                   (unsigned long long)limits[i].given, STR_FMT(d->node->type),
                   (unsigned long long)limits[i].most);
    }
    if (b->records > b->buffered) {
        load_error(l, "out-of-range", options_get(o, STR("batch.records"))->at,
                   "raise 'batch.buffered' too",
                   "'batch.records' is %u, more than 'batch.buffered' %u", b->records, b->buffered);
    }
}

static void read_retry(load *l, const options *o, retry_spec *r) {
    r->attempts = (uint64_t)options_i64(o, "retry.attempts", -1); /* -1: UINT64_MAX */
    r->base_ns = options_i64(o, "retry.base", 0);
    r->max_ns = options_i64(o, "retry.max", 0);
    r->timeout_ns = options_i64(o, "retry.timeout", 0);
    r->jitter = options_i64(o, "retry.jitter", 0) == 0;
    if (r->base_ns > r->max_ns) {
        const char *key = options_given(o, "retry.base") ? "retry.base" : "retry.max";
        load_error(l, "out-of-range", options_get(o, str_of(key))->at, NULL,
                   "'retry.base' must not be longer than 'retry.max'");
    }
}

static void read_event_time(load *l, const tree_node *map, const options *o, event_time_spec *e) {
    if (!options_given(o, "event_time")) return;
    e->given = true;
    e->unit = (time_unit)options_i64(o, "event_time.unit", 0);
    const option_value *field = options_get(o, STR("event_time.field"));
    if (field == NULL && options_given(o, "event_time.unit")) {
        load_error(l, "option-requires", options_get(o, STR("event_time.unit"))->at, NULL,
                   "'event_time.unit' needs 'event_time.field': the source's own time has a "
                   "unit");
    }
    if (field == NULL) return;
    size_t at = 0;
    weir_error *err = error_new();
    weir_status status = template_parse_path(field->text, l->memory, &e->field, &at, err);
    if (status == WEIR_E_NOMEM) l->no_memory = true;
    if (status != WEIR_OK) {
        const tree_pair *given = tree_get(tree_get(map, "event_time")->value, "field");
        place where = given != NULL && str_eq(given->value->text, field->text)
                          ? tree_place(given->value, at)
                          : field->at;
        load_error(l, "bad-path", where, NULL, "'event_time.field': %s", error_text(err));
    }
    error_free(err);
}

static void read_core_words(load *l, const tree_node *map, const settings_spec *settings,
                            draft *d) {
    node *n = d->node;
    /* A word on the wrong kind of node has been reported: do not read it as well. */
    note_option table[COUNT_OF(node_words)];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(node_words); i++) {
        for (size_t w = 0; w < COUNT_OF(core_words); w++) {
            if (!str_eq(core_words[w], node_words[i].name)) continue;
            if ((core_word_kinds[w] & BIT(n->kind)) != 0) table[count++] = node_words[i];
        }
    }
    options_source source = {.map = map,
                             .table = table,
                             .count = count,
                             .partial = true,
                             .owner = d->owner,
                             .at = n->at};
    options o;
    options_read(l, &source, &o);
    if (l->no_memory) return;
    n->parallelism = (uint32_t)options_i64(&o, "parallelism", settings->parallelism);
    if (n->parallelism > settings->max_parallelism && options_given(&o, "parallelism")) {
        load_error(l, "out-of-range", options_get(&o, STR("parallelism"))->at,
                   "raise 'settings.max_parallelism'",
                   "'parallelism' is %u, more than max_parallelism %u", n->parallelism,
                   settings->max_parallelism);
    }
    if (options_i64(&o, "isolation", 0) != 0) {
        load_error(l, "not-available", options_get(&o, STR("isolation"))->at, NULL,
                   "'isolation' can only be none: this version runs every component in the "
                   "process of its pipeline");
    }
    if (n->kind != WEIR_KIND_TRANSFORM) read_retry(l, &o, &n->retry);
    if (n->kind == WEIR_KIND_SOURCE) read_event_time(l, map, &o, &n->event_time);
    if (n->kind == WEIR_KIND_SINK) {
        read_batch(l, &o, d);
        if (options_given(&o, "delivery")) {
            n->delivery = (delivery_kind)(options_i64(&o, "delivery", -1) + 1);
        }
    }
}

/* ---- words with neighbours ---- */

static void read_inputs(load *l, const tree_node *map, draft *d) {
    const tree_pair *one = tree_get(map, "input"), *many = tree_get(map, "inputs");
    const tree_pair *pair = one != NULL ? one : many;
    if (pair == NULL) return;
    d->has_inputs = true;
    if (one != NULL && many != NULL) {
        load_error(l, "option-conflict", many->at, "write inputs: [A, B]",
                   "'input' and 'inputs' cannot stand together in %s", d->owner);
        return;
    }
    const tree_node *n = pair->value;
    const char *word = one != NULL ? "input" : "inputs";
    if (n->kind == TREE_MAP || (n->kind == TREE_LIST && n->count == 0) || tree_is_nothing(n)) {
        load_error(l, "wrong-type", n->at, "write input: NAME or inputs: [NAME, NAME]",
                   "'%s' must name nodes, found %s", word,
                   n->kind == TREE_LIST ? "an empty list" : value_kind(n));
        return;
    }
    size_t count = n->kind == TREE_LIST ? n->count : 1;
    named *inputs = arena_array(l->scratch, count, sizeof *inputs);
    if (inputs == NULL) {
        l->no_memory = true;
        return;
    }
    size_t got = 0;
    for (size_t i = 0; i < count; i++) {
        const tree_node *item = n->kind == TREE_LIST ? n->items[i] : n;
        inputs[got].at = item->at;
        if (value_text(l, word, item, &inputs[got].name)) got++;
    }
    d->inputs = inputs;
    d->input_count = got;
}

static void read_on_error(load *l, const tree_pair *pair, draft *d) {
    static const weir_str kinds[] = {OPTION_TEXT("fail"), OPTION_TEXT("skip")};
    static const note_option dead_letter[] = {
        {WORD("dead_letter", OPTION_STRING), .required = true}};
    static const note_option words[] = {
        {WORD("on_error", OPTION_ENUM), VALUES(kinds), FIELDS(dead_letter)}};
    if (pair == NULL) return;
    tree_node holder = {.kind = TREE_MAP, .count = 1, .pairs = pair, .at = pair->at};
    options_source source = {
        .map = &holder, .table = words, .count = 1, .owner = d->owner, .at = pair->at};
    size_t errors = diags_errors(l->out);
    options o;
    options_read(l, &source, &o);
    if (l->no_memory || diags_errors(l->out) > errors) {
        d->wrong_dead_letter = true;
        return;
    }
    const option_value *name = options_get(&o, STR("on_error.dead_letter"));
    if (name == NULL) {
        d->node->on_error = options_i64(&o, "on_error", 0) == 0 ? ON_ERROR_FAIL : ON_ERROR_SKIP;
        return;
    }
    d->node->on_error = ON_ERROR_DEAD_LETTER;
    d->has_dead_letter = true;
    d->dead_letter.name = name->text;
    const tree_pair *given = tree_get(pair->value, "dead_letter");
    d->dead_letter.at = given != NULL ? given->value->at : name->at;
}

static void read_exchange(load *l, const tree_pair *pair, draft *d) {
    static const weir_str kinds[] = {OPTION_TEXT("split"), OPTION_TEXT("round_robin")};
    static const note_option key[] = {{WORD("key", OPTION_TEMPLATE), .required = true}};
    static const note_option words[] = {
        {WORD("exchange", OPTION_ENUM), VALUES(kinds), FIELDS(key)}};
    if (pair == NULL) return;
    tree_node holder = {.kind = TREE_MAP, .count = 1, .pairs = pair, .at = pair->at};
    options_source source = {
        .map = &holder, .table = words, .count = 1, .owner = d->owner, .at = pair->at};
    options o;
    options_read(l, &source, &o);
    const option_value *k = options_get(&o, STR("exchange.key"));
    if (k == NULL || k->tmpl == NULL) {
        d->node->exchange =
            options_i64(&o, "exchange", 0) == 1 ? EXCHANGE_ROUND_ROBIN : EXCHANGE_SPLIT;
        return;
    }
    d->node->exchange = EXCHANGE_KEY;
    d->node->exchange_key = k->tmpl;
    if (!k->tmpl->constant) return;
    load_error(l, "bad-template", k->at, "a field is written ${.user}",
               "'exchange.key' is the same for every record");
}
