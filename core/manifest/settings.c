#include "manifest/settings.h"

#include "base/os.h"
#include "manifest/words.h"

static const weir_str deliveries[] = {OPTION_TEXT("at_most_once"), OPTION_TEXT("at_least_once"),
                                      OPTION_TEXT("exactly_once")};
static const weir_str strategies[] = {OPTION_TEXT("fixed_delay"), OPTION_TEXT("exponential"),
                                      OPTION_TEXT("none")};
static const weir_str unlimited[] = {OPTION_TEXT("unlimited")};
static const weir_str signatures[] = {OPTION_TEXT("off"), OPTION_TEXT("warn"),
                                      OPTION_TEXT("enforce")};

static const weir_str none[] = {OPTION_TEXT("none")};

static const note_option checkpoint[] = {
    {WORD("interval", OPTION_DURATION), DEFAULT("60s"), VALUES(none),
     RANGE(MILLISECONDS(10), HOURS(24 * 365))},
    {WORD("min_pause", OPTION_DURATION), DEFAULT("5s"), RANGE(0, HOURS(24 * 365))},
    {WORD("timeout", OPTION_DURATION), DEFAULT("10m"), RANGE(MILLISECONDS(10), HOURS(24 * 7))},
    {WORD("retain", OPTION_INT), DEFAULT("3"), RANGE(1, 10000)},
    {WORD("tolerable_failures", OPTION_INT), DEFAULT("0"), RANGE(0, 1000000)},
    {WORD("store", OPTION_STRING)},
};

static const note_option restart[] = {
    {WORD("strategy", OPTION_ENUM), DEFAULT("fixed_delay"), VALUES(strategies)},
    {WORD("attempts", OPTION_INT), DEFAULT("unlimited"), VALUES(unlimited), RANGE(0, 1000000000)},
    {WORD("delay", OPTION_DURATION), DEFAULT("10s"), RANGE(0, HOURS(24))},
    {WORD("initial", OPTION_DURATION), DEFAULT("1s"), RANGE(MILLISECONDS(1), HOURS(24))},
    {WORD("max", OPTION_DURATION), DEFAULT("1m"), RANGE(MILLISECONDS(1), HOURS(24))},
    {WORD("multiplier", OPTION_FLOAT), DEFAULT("2"), RANGE(1, 1000)},
};

static const note_option settings[] = {
    {WORD("parallelism", OPTION_INT), DEFAULT("1"), RANGE(1, LIMIT_PARALLELISM)},
    {WORD("max_parallelism", OPTION_INT), DEFAULT("128"), RANGE(1, 32768)},
    {WORD("delivery", OPTION_ENUM), VALUES(deliveries)},
    {WORD("checkpoint", OPTION_MAP), FIELDS(checkpoint)},
    {WORD("restart", OPTION_MAP), FIELDS(restart)},
    {WORD("start_timeout", OPTION_DURATION), DEFAULT("5m"), RANGE(MILLISECONDS(1), HOURS(24))},
    {WORD("stop_timeout", OPTION_DURATION), DEFAULT("60s"), RANGE(MILLISECONDS(1), HOURS(24))},
    {WORD("memory", OPTION_SIZE), DEFAULT("512MiB"), RANGE(1 << 20, 1e15)},
    {WORD("require_signature", OPTION_ENUM), DEFAULT("off"), VALUES(signatures)},
};

/* Words that only some strategies know: elsewhere they would say something that is not done. */
static void check_restart_words(load *l, const options *o, restart_strategy strategy) {
    static const struct {
        const char *key;
        bool used[3]; /* by restart_strategy */
    } words[] = {
        {"restart.delay", {true, false, false}},      {"restart.attempts", {true, true, false}},
        {"restart.initial", {false, true, false}},    {"restart.max", {false, true, false}},
        {"restart.multiplier", {false, true, false}},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const option_value *v = options_get(o, str_of(words[i].key));
        if (v == NULL || v->is_default || words[i].used[strategy]) continue;
        load_error(l, "option-conflict", v->at, NULL,
                   "'settings.%s' has no meaning with the strategy %.*s", words[i].key,
                   STR_FMT(strategies[strategy]));
    }
}

static void read_restart(load *l, const options *o, restart_spec *out) {
    int64_t strategy = options_i64(o, "restart.strategy", 0);
    out->strategy = (restart_strategy)strategy;
    out->attempts = (uint64_t)options_i64(o, "restart.attempts", -1); /* -1: UINT64_MAX */
    out->delay_ns = options_i64(o, "restart.delay", 0);
    out->initial_ns = options_i64(o, "restart.initial", 0);
    out->max_ns = options_i64(o, "restart.max", 0);
    const option_value *multiplier = options_get(o, STR("restart.multiplier"));
    out->multiplier = multiplier != NULL ? multiplier->f64 : 1;
    check_restart_words(l, o, out->strategy);
    if (out->strategy == RESTART_EXPONENTIAL && out->initial_ns > out->max_ns) {
        load_error(l, "out-of-range", options_get(o, STR("restart.initial"))->at, NULL,
                   "'settings.restart.initial' must not be longer than 'settings.restart.max'");
    }
}

/* A folder: as a path relative to the manifest, or a file:// address. */
static void read_store(load *l, const options *o, settings_spec *out) {
    const option_value *v = options_get(o, STR("checkpoint.store"));
    if (v == NULL) return;
    weir_str text = v->text;
    static const weir_str file = OPTION_TEXT("file://");
    bool address = str_starts(text, file);
    if (address) text = str_make(text.ptr + file.len, text.len - file.len);
    if (!address && text.len > 0 && strstr(text.ptr, "://") != NULL) {
        load_error(l, "not-available", v->at, "write a folder, as in file:///var/lib/weir",
                   "'settings.checkpoint.store' can only be a local folder in this version");
    } else if (text.len == 0 || (address && text.ptr[0] != '/')) {
        load_error(l, "wrong-type", v->at, "write a folder, as in file:///var/lib/weir",
                   "'settings.checkpoint.store' needs %s",
                   address ? "an absolute path behind file://" : "a folder");
    } else {
        out->checkpoint_store = str_of(os_join(l->memory, l->base_dir, text));
    }
}

void settings_read(load *l, const tree_node *section, settings_spec *out) {
    options_source source = {.table = settings,
                             .count = COUNT_OF(settings),
                             .label = "settings.",
                             .owner = "settings",
                             .at = {l->file, 0, 0}};
    if (section != NULL && !tree_is_nothing(section)) {
        source.at = section->at;
        if (section->kind == TREE_MAP)
            source.map = section;
        else
            load_error(l, "wrong-type", section->at, NULL, "'settings' must be a mapping");
    }
    options o;
    options_read(l, &source, &o);
    if (l->no_memory) return;
    out->parallelism = (uint32_t)options_i64(&o, "parallelism", 1);
    out->max_parallelism = (uint32_t)options_i64(&o, "max_parallelism", 128);
    out->delivery = (delivery_kind)(options_i64(&o, "delivery", -1) + 1);
    out->checkpoint_interval_ns = options_i64(&o, "checkpoint.interval", INT64_MAX);
    out->checkpoint_min_pause_ns = options_i64(&o, "checkpoint.min_pause", 0);
    out->checkpoint_timeout_ns = options_i64(&o, "checkpoint.timeout", 0);
    out->checkpoint_retain = (uint32_t)options_i64(&o, "checkpoint.retain", 0);
    out->checkpoint_tolerable_failures =
        (uint32_t)options_i64(&o, "checkpoint.tolerable_failures", 0);
    out->start_timeout_ns = options_i64(&o, "start_timeout", 0);
    out->stop_timeout_ns = options_i64(&o, "stop_timeout", 0);
    out->memory_bytes = (uint64_t)options_i64(&o, "memory", 0);
    read_store(l, &o, out);
    read_restart(l, &o, &out->restart);
    if (options_i64(&o, "require_signature", 0) != 0) {
        load_error(l, "not-available", options_get(&o, STR("require_signature"))->at, NULL,
                   "'settings.require_signature' can only be off: this version checks no "
                   "signatures");
    }
    if (out->parallelism > out->max_parallelism) {
        const option_value *v = options_get(&o, STR("parallelism"));
        load_error(l, "out-of-range", v->at, "raise 'settings.max_parallelism'",
                   "'settings.parallelism' is %u, more than max_parallelism %u", out->parallelism,
                   out->max_parallelism);
    }
}
