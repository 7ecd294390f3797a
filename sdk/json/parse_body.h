/*
 * sdk/json/parse_body.h - the parser's loop, compiled once for each instruction set.
 *
 * The including file defines PARSE_NAME (the function), PARSE_TARGET (its attribute), PARSE_SCAN (a
 * scan of scan.h), PARSE_UTF8 (json_utf8_run_*) and PARSE_AVX2 (1 or 0). The scan becomes part of
 * the loop: a call for each member name would cost more than the scan.
 *
 * There is no stack. The container being filled keeps the index of its parent in as.skip until it
 * is closed, and its members are counted in size.
 *
 *     [1, {"a": 2        nodes  0 ARRAY  size=1 skip=NO_PARENT
 *              ^                1 I64
 *                               2 OBJECT size=0 skip=0         <- open
 *                               3 STRING a
 */
#define NO_PARENT UINT64_MAX

/* White space is rare inside records and mostly one blank, so one test decides the common case. */
PARSE_TARGET JSON_INLINE const uint8_t *skip_space(const uint8_t *at) {
    if (JSON_LIKELY(*at > ' ')) return at;
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
    return at;
}

/* Appends the digits at `at` to *number, modulo 2^64; gives what follows them. */
PARSE_TARGET JSON_INLINE const uint8_t *read_digits(const uint8_t *at, const uint8_t *end,
                                                    uint64_t *number) {
    uint64_t n = *number;
    if (end - at >= 8) {
        uint64_t w = json_load64(at);
        if (json_eight_digits(w)) {
            n = n * 100000000 + json_eight_value(w);
            at += 8;
        }
    }
    while ((uint8_t)(*at - '0') <= 9) n = n * 10 + (uint8_t)(*at++ - '0');
    *number = n;
    return at;
}

/* The string whose opening quote is at[-1]; gives the byte behind the closing one. */
PARSE_TARGET JSON_INLINE const uint8_t *read_string(json_run *run, const uint8_t *at,
                                                    weir_value *node) {
    const uint8_t *begin = at;
    const uint8_t *end = run->end;
    for (;;) {
        at = PARSE_SCAN(run->begin, at, end);
        if (JSON_UNLIKELY(at == end)) break;
        if (JSON_LIKELY(*at == '"')) {
            node->type = WEIR_V_STRING;
            node->logical = WEIR_L_NONE;
            node->flags = WEIR_VF_PLAIN;
            node->size = (uint32_t)(at - begin);
            node->as.ptr = (const char *)begin;
            return at + 1;
        }
        if (*at == '\\') return json_string_escaped(run, begin, at, node, PARSE_AVX2);
        if (*at < 0x20) {
            run->fault_at = at;
            run->fault_text = "control character in a string: it must be escaped";
            return NULL;
        }
        at = PARSE_UTF8(run, at, end);
        if (!at) return NULL;
    }
    run->fault_at = end;
    run->fault_text = "unterminated string: expected '\"'";
    return NULL;
}

PARSE_TARGET weir_status PARSE_NAME(json_run *run) {
    weir_json_parser *p = run->p;
    const uint8_t *at = run->begin;
    const uint8_t *end = run->end;
    weir_value *nodes = p->nodes;
    weir_value *node = nodes;
    weir_value *limit = nodes ? nodes + p->capacity : nodes; /* no room at first: grow is asked */
    weir_value *open = NULL;
    uint32_t depth_max = p->depth_max;
    uint32_t depth = 0;
    weir_status status;

/* Makes sure that `node` may be written. */
#define NEED_NODE()                                                                                \
    do {                                                                                           \
        if (JSON_UNLIKELY(node == limit)) {                                                        \
            uint32_t used_ = (uint32_t)(node - nodes);                                             \
            uint32_t open_ = open ? (uint32_t)(open - nodes) : 0;                                  \
            if ((status = json_grow(p, used_)) != WEIR_OK) return status;                          \
            nodes = p->nodes;                                                                      \
            node = nodes + used_;                                                                  \
            limit = nodes + p->capacity;                                                           \
            if (open) open = nodes + open_;                                                        \
        }                                                                                          \
    } while (0)
#define FAULT(text_)                                                                               \
    do {                                                                                           \
        run->fault_at = at;                                                                        \
        run->fault_text = (text_);                                                                 \
        return WEIR_E_DATA;                                                                        \
    } while (0)

    at = skip_space(at);
    if (at == end) FAULT("expected a value, found the end of the text");

value:
    NEED_NODE();
    switch (*at) {
    case '"':
        at = read_string(run, at + 1, node);
        if (JSON_UNLIKELY(!at)) return run->fault_text ? WEIR_E_DATA : WEIR_E_NOMEM;
        node++;
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': {
        /* Integers of up to 18 digits are decided here, and fractions of up to 19 digits in all are
         * gathered; every other form is decimal.c's. */
        const uint8_t *first = at + (*at == '-');
        const uint8_t *digit = first;
        uint64_t number = 0;
        digit = read_digits(digit, end, &number);
        if (JSON_LIKELY(digit - first <= 18 && digit > first &&
                        (*first != '0' || digit - first == 1))) {
            if (JSON_LIKELY(*digit != '.' && (*digit | 0x20) != 'e')) {
                node->type = WEIR_V_I64;
                node->logical = WEIR_L_NONE;
                node->flags = 0;
                node->size = 0;
                node->as.i64 = *at == '-' ? -(int64_t)number : (int64_t)number;
                at = digit;
                node++;
                break;
            }
            const uint8_t *fraction = digit + 1;
            digit = read_digits(fraction, end, &number);
            if (fraction[-1] == '.' && digit > fraction && digit - first <= 20 &&
                (*digit | 0x20) != 'e' &&
                json_fraction(number, (uint32_t)(digit - fraction), *at == '-', node)) {
                at = digit;
                node++;
                break;
            }
        }
        at = json_number(at, p->flags, node, &run->fault_at, &run->fault_text);
        if (JSON_UNLIKELY(!at)) return WEIR_E_DATA;
        node++;
        break;
    }
    case 't':
        if (end - at < 4 || memcmp(at, "true", 4) != 0) FAULT("expected 'true'");
        *node++ = (weir_value){.type = WEIR_V_BOOL, .as.u64 = 1};
        at += 4;
        break;
    case 'f':
        if (end - at < 5 || memcmp(at, "false", 5) != 0) FAULT("expected 'false'");
        *node++ = (weir_value){.type = WEIR_V_BOOL, .as.u64 = 0};
        at += 5;
        break;
    case 'n':
        if (end - at < 4 || memcmp(at, "null", 4) != 0) FAULT("expected 'null'");
        *node++ = (weir_value){.type = WEIR_V_NULL};
        at += 4;
        break;
    case '{':
    case '[': {
        uint8_t type = *at == '{' ? WEIR_V_OBJECT : WEIR_V_ARRAY;
        if (depth == depth_max) FAULT("nested too deeply");
        depth++;
        *node = (weir_value){.type = type, .as.skip = open ? (uint64_t)(open - nodes) : NO_PARENT};
        open = node++;
        at = skip_space(at + 1);
        if (type == WEIR_V_OBJECT) {
            if (*at == '"') goto name;
            if (*at != '}') FAULT("expected '\"' or '}'");
        } else {
            if (*at != ']') goto value;
        }
        goto close;
    }
    default:
        if (at == end) FAULT("expected a value, found the end of the text");
        FAULT("expected a value");
    }

after_value:
    if (JSON_UNLIKELY(!open)) goto done;
    open->size++;
    at = skip_space(at);
    if (open->type == WEIR_V_OBJECT) {
        if (JSON_LIKELY(*at == ',')) {
            at = skip_space(at + 1);
            if (JSON_UNLIKELY(*at != '"')) FAULT("expected '\"': a member name");
            goto name;
        }
        if (JSON_UNLIKELY(*at != '}')) FAULT("expected ',' or '}'");
    } else {
        if (JSON_LIKELY(*at == ',')) {
            at = skip_space(at + 1);
            goto value;
        }
        if (JSON_UNLIKELY(*at != ']')) FAULT("expected ',' or ']'");
    }

close : {
    uint64_t parent = open->as.skip;
    open->as.skip = (uint64_t)(node - open);
    if (JSON_UNLIKELY((p->flags & WEIR_JSON_UNIQUE_KEYS) && open->type == WEIR_V_OBJECT)) {
        status = json_check_unique(run, open, at);
        if (status != WEIR_OK) return status;
    }
    at++;
    depth--;
    if (parent == NO_PARENT) {
        open = NULL;
        goto done;
    }
    open = nodes + parent;
    /* The only place where the text may end before something is missing. */
    if (at == end)
        FAULT(open->type == WEIR_V_OBJECT ? "expected ',' or '}'" : "expected ',' or ']'");
    goto after_value;
}

name:
    NEED_NODE();
    at = read_string(run, at + 1, node);
    if (JSON_UNLIKELY(!at)) return run->fault_text ? WEIR_E_DATA : WEIR_E_NOMEM;
    node++;
    if (JSON_UNLIKELY(*at != ':')) {
        at = skip_space(at);
        if (*at != ':') FAULT("expected ':'");
    }
    at = skip_space(at + 1);
    goto value;

done:
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
    if (at < end) FAULT("expected the end of the text");
    p->used = (uint32_t)(node - nodes);
    return WEIR_OK;
#undef NEED_NODE
#undef FAULT
}
