/* The parser: shape of the tape, faults and where they are, limits, both variants alike. */
#include <stdio.h>

#include "json_test.h"

static json_parse_fn parse[2];
static uint32_t parsers;

static int setup(void **state) {
    (void)state;
    parsers = variants(parse);
    return 0;
}

static void test_tape(void **state) {
    (void)state;
    static const char text[] = " {\"a\": [1, true] , \"b\": \"x\", \"c\":{}, \"d\":[null,[]]}\r\n";
    for (uint32_t i = 0; i < parsers; i++) {
        parsed *t = parse_bytes(text, sizeof text - 1, 0, 0, parse[i]);
        assert_int_equal(t->status, WEIR_OK);
        const weir_value *n = t->p.nodes;
        assert_int_equal(t->p.used, 13);
        assert_int_equal(n[0].type, WEIR_V_OBJECT);
        assert_int_equal(n[0].size, 4);
        assert_int_equal(n[0].as.skip, 13);
        assert_int_equal(n[1].type, WEIR_V_STRING);
        assert_true(n[1].as.ptr == t->text + 3); /* into the text, no copy */
        assert_int_equal(n[1].flags, WEIR_VF_PLAIN);
        assert_int_equal(n[2].type, WEIR_V_ARRAY);
        assert_int_equal(n[2].size, 2);
        assert_int_equal(n[2].as.skip, 3);
        assert_int_equal(n[3].as.i64, 1);
        assert_int_equal(n[4].type, WEIR_V_BOOL);
        assert_int_equal(n[4].as.u64, 1);
        assert_int_equal(n[8].type, WEIR_V_OBJECT);
        assert_int_equal(n[8].as.skip, 1);
        const weir_value *d = weir_value_member(n, "d", 1);
        assert_true(d == n + 10);
        assert_int_equal(weir_value_element(d, 0)->type, WEIR_V_NULL);
        assert_int_equal(weir_value_element(d, 1)->type, WEIR_V_ARRAY);
        parsed_free(t);
    }
}

/* A parser is used again and again; nodes already there are found room after. */
static void test_reuse(void **state) {
    (void)state;
    weir_value room[8];
    weir_json_parser p = {.nodes = room, .capacity = 8};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir_json_parse(&p, (weir_str){"[1,2,3]", 7}), WEIR_OK);
        assert_int_equal(p.used, 4);
    }
    assert_int_equal(weir_json_parse(&p, (weir_str){"[1,2,3,4,5,6,7,8]", 17}), WEIR_E_NOMEM);
    assert_int_equal(weir_json_parse(&p, (weir_str){"[\"\\n\"]", 6}), WEIR_E_NOMEM);
    assert_int_equal(weir_json_parse(&p, (weir_str){"[1,2,3,4,5,6,7]", 15}), WEIR_OK);
    assert_int_equal(weir_json_parse(&p, (weir_str){"[", UINT64_C(1) << 31}), WEIR_E_TOO_LARGE);
    weir_json_parser_free(&p);
}

static void test_faults(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *fault;
    } cases[] = {
        {"", 1, 1, "expected a value, found the end of the text"},
        {"  \n ", 1, 1, "expected a value, found the end of the text"},
        {"[1,2", 1, 5, "expected ',' or ']'"},
        {"[1,\n 2,]", 2, 4, "expected a value"},
        {"{\"a\":1,}", 1, 8, "expected '\"': a member name"},
        {"{\"a\" 1}", 1, 6, "expected ':'"},
        {"{\"a\":1 \"b\":2}", 1, 8, "expected ',' or '}'"},
        {"{a:1}", 1, 2, "expected '\"' or '}'"},
        {"[1}", 1, 3, "expected ',' or ']'"},
        {"[[1]", 1, 5, "expected ',' or ']'"},
        {"{\"a\":{}", 1, 8, "expected ',' or '}'"},
        {"[1] ]", 1, 5, "expected the end of the text"},
        {"1]", 1, 2, "expected the end of the text"},
        {"[tru]", 1, 2, "expected 'true'"},
        {"[falsE]", 1, 2, "expected 'false'"},
        {"nul", 1, 1, "expected 'null'"},
        {"[01]", 1, 3, "number with a leading zero"},
        {"[-]", 1, 3, "expected a digit"},
        {"[1.]", 1, 4, "expected a digit after '.'"},
        {"[1e+]", 1, 5, "expected a digit in the exponent"},
        {"[\"a", 1, 4, "unterminated string: expected '\"'"},
        {"[\"a\\\"]", 1, 7, "unterminated string: expected '\"'"},
        {"[\"a\nb\"]", 1, 4, "control character in a string: it must be escaped"},
        {"[\"\\n\nb\"]", 1, 5, "control character in a string: it must be escaped"},
        {"[\"\\x\"]", 1, 3, "unknown escape: expected one of \" \\ / b f n r t u"},
        {"[\"\\u12G4\"]", 1, 3, "expected four hexadecimal digits after '\\u'"},
        {"[\"\\ud800\"]", 1, 3, "lone surrogate in '\\u': it stands for no character"},
        {"[\"\\ud800\\n\"]", 1, 3, "lone surrogate in '\\u': it stands for no character"},
        {"[\"\\ud800\\ud800\"]", 1, 3, "lone surrogate in '\\u': it stands for no character"},
        {"[\"\\udc00\"]", 1, 3, "lone surrogate in '\\u': it stands for no character"},
        {"\xef\xbb\xbf{}", 1, 1, "expected a value, found a byte order mark"},
        {"[\"\xff\"]", 1, 3, "invalid UTF-8 in a string"},
        {"[nan]", 1, 2, "expected 'null'"},
        {"[NaN]", 1, 2, "expected a value"},
        {"['a']", 1, 2, "expected a value"},
        {"[1] // x", 1, 5, "expected the end of the text"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (uint32_t i = 0; i < parsers; i++) {
            parsed *t = parse_bytes(cases[c].text, strlen(cases[c].text), 0, 0, parse[i]);
            assert_int_equal(t->status, WEIR_E_DATA);
            if (strcmp(t->p.fault.text, cases[c].fault) != 0 || t->p.fault.line != cases[c].line ||
                t->p.fault.column != cases[c].column)
                fail_msg("%s: %u:%u %s, expected %u:%u %s", cases[c].text, t->p.fault.line,
                         t->p.fault.column, t->p.fault.text, cases[c].line, cases[c].column,
                         cases[c].fault);
            parsed_free(t);
        }
    }
}

static void test_nul_bytes(void **state) {
    (void)state;
    static const char *const texts[] = {"[1\0]", "[\0]", "{\0}}", "[\"\0\"]", "1\0\0\0", "[1]\0]"};
    static const size_t lengths[] = {4, 3, 4, 5, 4, 5};
    for (size_t c = 0; c < 6; c++) {
        for (uint32_t i = 0; i < parsers; i++) {
            parsed *t = parse_bytes(texts[c], lengths[c], 0, 0, parse[i]);
            assert_int_equal(t->status, WEIR_E_DATA);
            parsed_free(t);
        }
    }
}

static void test_escapes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *value;
        int plain;
    } cases[] = {
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 0},
        {"\"\\/\"", "/", 1},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 1},
        {"\"\\u0022\"", "\"", 0},
        {"\"\\u001f\"", "\x1f", 0},
        {"\"\\u007f\"", "\x7f", 1},
        {"\"\\uD7FF\\uE000\\uFFFF\"", "\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 1},
        {"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 1},
        {"\"long text in front of it, more than a vector holds\\u00e9 and after\"",
         "long text in front of it, more than a vector holds\xc3\xa9 and after", 1}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        char inside[256];
        int n = snprintf(inside, sizeof inside, "{%s:%s}", cases[c].text, cases[c].text);
        for (uint32_t i = 0; i < parsers; i++) {
            parsed *t = parse_bytes(cases[c].text, strlen(cases[c].text), 0, 0, parse[i]);
            assert_int_equal(t->status, WEIR_OK);
            assert_int_equal(t->p.nodes->size, strlen(cases[c].value));
            assert_memory_equal(t->p.nodes->as.ptr, cases[c].value, t->p.nodes->size);
            assert_int_equal(t->p.nodes->flags & WEIR_VF_PLAIN, cases[c].plain);
            parsed_free(t);
            t = parse_bytes(inside, (size_t)n, 0, 0, parse[i]);
            assert_int_equal(t->status, WEIR_OK);
            assert_non_null(weir_value_member(t->p.nodes, cases[c].value, strlen(cases[c].value)));
            parsed_free(t);
        }
    }
    /* The NUL character is text like any other. */
    parsed *t = parse_bytes("[\"\\u0000x\"]", 11, 0, 0, json_parse_swar);
    assert_int_equal(t->status, WEIR_OK);
    assert_int_equal(t->p.nodes[1].size, 2);
    assert_memory_equal(t->p.nodes[1].as.ptr, "\0x", 2);
    parsed_free(t);
}

/* What a reference decoder, written from the definition, says of up to four bytes. */
static int valid_utf8(const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n;) {
        if (s[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t len = s[i] >> 5 == 6 ? 2 : s[i] >> 4 == 14 ? 3 : s[i] >> 3 == 30 ? 4 : 0;
        if (len == 0 || i + len > n) return 0;
        uint32_t c = s[i] & (0x7fu >> len);
        for (uint32_t k = 1; k < len; k++) {
            if ((s[i + k] & 0xc0) != 0x80) return 0;
            c = c << 6 | (s[i + k] & 0x3fu);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
        i += len;
    }
    return 1;
}

/* Each pair of lead bytes with continuation bytes at the edges of their ranges. */
static void test_utf8(void **state) {
    (void)state;
    static const uint8_t edges[] = {0x20, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    weir_value room[2];
    for (uint32_t i = 0; i < parsers; i++) {
        weir_json_parser p = {.nodes = room, .capacity = 2};
        for (uint32_t a = 0x80; a < 0x100; a++)
            for (uint32_t b = 0x20; b < 0x100; b++)
                for (uint32_t k = 0; k < 100; k++) {
                    uint8_t text[9] = {'[',           '"', (uint8_t)a, (uint8_t)b, edges[k / 10],
                                       edges[k % 10], 'z', '"',        ']'};
                    if (b == '"' || b == '\\') continue;
                    int ok = json_parse_with(&p, (weir_str){(char *)text, 9}, parse[i]) == WEIR_OK;
                    if (ok != valid_utf8(text + 2, 4)) fail_msg("%02x %02x %u", a, b, k);
                }
    }
    /* Cut off in the middle, at the very end of the text. */
    for (uint32_t i = 0; i < parsers; i++)
        for (size_t n = 2; n < 6; n++) {
            parsed *t = parse_bytes("[\"\xf0\x9f\x98\x80", n, 0, 0, parse[i]);
            assert_int_equal(t->status, WEIR_E_DATA);
            parsed_free(t);
        }
}

/* Vectors against the scalar code: sequences at the edges of what is allowed, at each offset of a
 * long text, whole and cut off. */
static void test_utf8_vectors(void **state) {
    (void)state;
#if JSON_HAVE_AVX2
    if (!json_cpu_avx2()) skip();
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                    0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
                                    0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    uint64_t seed = 11;
    uint32_t valid = 0;
    for (uint32_t i = 0; i < 400000; i++) {
        size_t len = 32 + next_random(&seed) % 70;
        uint8_t *text = malloc(len);
        for (size_t k = 0; k < len;) {
            /* Mostly whole characters, so that errors stand alone. */
            static const char *const good[] = {"a", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80"};
            const char *c = good[next_random(&seed) >> 60 & 3];
            size_t n = strlen(c) < len - k ? strlen(c) : len - k;
            memcpy(text + k, c, n);
            k += n;
        }
        uint64_t r = next_random(&seed);
        if (r & 1) {
            size_t at = (r >> 1) % len;
            text[at] = edges[(r >> 16) % sizeof edges];
            if (at + 1 < len && (r & 2)) text[at + 1] = edges[(r >> 24) % sizeof edges];
        }
        const uint8_t *want = json_utf8_fault_swar(text, text + len);
        assert_ptr_equal(json_utf8_fault_avx2(text, text + len), want);
        assert_int_equal(want == NULL, valid_utf8(text, len));
        assert_int_equal(weir_utf8_span((weir_str){(char *)text, len}),
                         want ? (uint64_t)(want - text) : len);
        valid += want == NULL;
        free(text);
    }
    assert_true(valid > 1000);
#else
    skip();
#endif
    assert_int_equal(weir_utf8_span((weir_str){NULL, 0}), 0);
}

/* Random strings, rich in what needs escapes and in runs of backslashes, written by both writers
 * and read by both parsers; then the same with one byte of the text changed. */
static void test_strings_agree(void **state) {
    (void)state;
    static const char *const parts[] = {"\\",
                                        "\"",
                                        "\n",
                                        "\x01",
                                        "a",
                                        "words ",
                                        "\xc3\xa9",
                                        "\xf0\x9f\x98\x80",
                                        "a longer run of plain text ",
                                        "/"};
    uint64_t seed = 3;
    for (uint32_t i = 0; i < 30000; i++) {
        char value[512];
        size_t len = 0, want_len = next_random(&seed) % 200;
        uint32_t range = 1 + (uint32_t)(next_random(&seed) % 10);
        while (len < want_len) {
            const char *part = parts[next_random(&seed) % range];
            memcpy(value + len, part, strlen(part));
            len += strlen(part);
        }
        const uint8_t *s = (const uint8_t *)value;
        char text[6 * 512 + 8] = "[\"", other[6 * 512];
        size_t n = 2 + (size_t)(json_put_bytes_swar(text + 2, s, s + len) - (text + 2));
#if JSON_HAVE_AVX2
        if (json_cpu_avx2()) {
            assert_int_equal(json_put_bytes_avx2(other, s, s + len) - other, n - 2);
            assert_memory_equal(other, text + 2, n - 2);
        }
#endif
        memcpy(text + n, "\"]", 2);
        n += 2;
        for (uint32_t k = 0; k < parsers; k++) {
            parsed *t = parse_bytes(text, n, 0, 0, parse[k]);
            assert_int_equal(t->status, WEIR_OK);
            assert_int_equal(t->p.nodes[1].size, len);
            assert_memory_equal(t->p.nodes[1].as.ptr, value, len);
            parsed_free(t);
        }
        static const char changes[] = "\"\\u\x1f\x80x";
        text[next_random(&seed) % n] = changes[next_random(&seed) % 6];
        if (parsers < 2) continue;
        parsed *a = parse_bytes(text, n, 0, 0, parse[0]);
        parsed *b = parse_bytes(text, n, 0, 0, parse[1]);
        assert_same(a, b);
        parsed_free(a);
        parsed_free(b);
    }
}

static void test_depth(void **state) {
    (void)state;
    static char text[4001];
    for (uint32_t i = 0; i < parsers; i++) {
        static const uint32_t depths[] = {1, 2, 128, 1000};
        for (size_t d = 0; d < 4; d++) {
            for (uint32_t over = 0; over < 2; over++) {
                uint32_t n = depths[d] + over;
                memset(text, '[', n);
                memset(text + n, ']', n);
                /* 0 stands for 128, and nothing goes beyond 1000. */
                uint32_t limit = depths[d] == 128 ? 0 : depths[d] == 1000 ? 5000 : depths[d];
                parsed *t = parse_bytes(text, 2 * n, 0, limit, parse[i]);
                assert_int_equal(t->status, over ? WEIR_E_DATA : WEIR_OK);
                if (over) {
                    assert_string_equal(t->p.fault.text, "nested too deeply");
                    assert_int_equal(t->p.fault.offset, depths[d]);
                } else {
                    assert_int_equal(t->p.nodes[0].as.skip, n);
                }
                parsed_free(t);
            }
        }
    }
}

static void test_unique_names(void **state) {
    (void)state;
    static const char *const good[] = {"{}", "{\"a\":1}",
                                       "{\"a\":1,\"b\":{\"a\":2},\"c\":[{\"a\":1}]}",
                                       "{\"a\":1,\"A\":2,\"\":3,\"aa\":4}"};
    for (size_t c = 0; c < sizeof good / sizeof good[0]; c++) {
        parsed *t = parse_bytes(good[c], strlen(good[c]), WEIR_JSON_UNIQUE_KEYS, 0, parse[0]);
        assert_int_equal(t->status, WEIR_OK);
        parsed_free(t);
    }
    static const struct {
        const char *text;
        uint64_t offset;
    } bad[] = {{"{\"a\":1,\"a\":2}", 7},
               {"[{\"x\":1,\"\\u0078\":2}]", 18},
               {"{\"b\":{\"a\":1,\"c\":2,\"a\":3}}", 18},
               {"{\"\":1,\"b\":2,\"\":3}", 12}};
    for (size_t c = 0; c < sizeof bad / sizeof bad[0]; c++) {
        parsed *t =
            parse_bytes(bad[c].text, strlen(bad[c].text), WEIR_JSON_UNIQUE_KEYS, 0, parse[0]);
        assert_int_equal(t->status, WEIR_E_DATA);
        assert_string_equal(t->p.fault.text, "duplicate member name");
        assert_int_equal(t->p.fault.offset, bad[c].offset);
        parsed_free(t);
        /* Without the flag the last one counts. */
        t = parse_bytes(bad[c].text, strlen(bad[c].text), 0, 0, parse[0]);
        assert_int_equal(t->status, WEIR_OK);
        parsed_free(t);
    }
    parsed *t = parse_bytes("{\"a\":1,\"a\":2}", 13, 0, 0, parse[0]);
    assert_int_equal(weir_json_get_i64(t->p.nodes, "a", 0), 2);
    parsed_free(t);
}

/* Large objects take the sorting path: unique, then each possible pair position of a few. */
static void test_unique_large(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    char *text = malloc(COUNT * 32);
    for (uint32_t twin = 0; twin < COUNT; twin += 71) {
        size_t n = 0;
        text[n++] = '{';
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t name = i == twin && twin > 0 ? twin / 2 : i;
            n += (size_t)snprintf(text + n, COUNT * 32 - n, "%s\"k%u\":[%u]", i ? "," : "",
                                  name * 2654435761u, i);
        }
        text[n++] = '}';
        weir_json_fault fault;
        weir_json_doc *doc = weir_json_read((weir_str){text, n}, WEIR_JSON_UNIQUE_KEYS, &fault);
        if (twin == 0) {
            assert_non_null(doc);
            assert_int_equal(weir_json_root(doc)->size, COUNT);
        } else {
            assert_null(doc);
            assert_string_equal(fault.text, "duplicate member name");
            char want[32];
            snprintf(want, sizeof want, "\"k%u\":[%u]", twin / 2 * 2654435761u, twin);
            assert_memory_equal(text + fault.offset, want, strlen(want));
        }
        weir_json_free(doc);
    }
    free(text);
}

/* One text cut after each byte, and with each byte changed: both variants always agree, and what is
 * accepted survives writing. */
static void test_variants_agree(void **state) {
    (void)state;
    if (parsers < 2) skip();
    static const char text[] =
        "{\"id\":12345678901,\"name\":\"a name with \\\"quotes\\\" and \\u00e9\",\"ok\":true,\"none\":null,"
        "\"price\":1234.5678,\"utf\":\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e text that is longer than one vector of 32"
        " bytes\",\"list\":[1,-2,3.25,1e10,[],{}],\"nested\":{\"a\":{\"b\":[\"\",\"x\"]}}}";
    static const char changes[] = "\"\\{}[],:0-9aeEu.\t\x01 \x80\xc3\xff";
    char copy[sizeof text];
    for (size_t n = 0; n < sizeof text; n++) {
        parsed *a = parse_bytes(text, n, 0, 0, parse[0]);
        parsed *b = parse_bytes(text, n, 0, 0, parse[1]);
        assert_same(a, b);
        assert_int_equal(a->status, n == sizeof text - 1 ? WEIR_OK : WEIR_E_DATA);
        parsed_free(a);
        parsed_free(b);
    }
    for (size_t n = 0; n + 1 < sizeof text; n++) {
        for (size_t c = 0; c + 1 < sizeof changes; c++) {
            memcpy(copy, text, sizeof text);
            copy[n] = changes[c];
            parsed *a = parse_bytes(copy, sizeof text - 1, 0, 0, parse[0]);
            parsed *b = parse_bytes(copy, sizeof text - 1, 0, 0, parse[1]);
            assert_same(a, b);
            if (a->status == WEIR_OK) {
                uint64_t bound = weir_json_bound(a->p.nodes);
                char *out = malloc(bound);
                uint64_t written = weir_json_write(a->p.nodes, out);
                assert_true(written <= bound);
                parsed *again = parse_bytes(out, written, 0, 0, parse[1]);
                assert_same(a, again);
                parsed_free(again);
                free(out);
            }
            parsed_free(a);
            parsed_free(b);
        }
    }
}

/* The scans, on every offset of a special byte in texts around the vector's size. */
static void test_scans(void **state) {
    (void)state;
    static const uint8_t specials[] = {'"',  '\\', 0,    0x1f, 0x80, 0xff,
                                       0x20, 0x21, 0x7f, '[',  ']',  '#'};
    for (size_t len = 0; len < 140; len++) {
        uint8_t *text = malloc(len ? len : 1);
        for (size_t hit = 0; hit <= len; hit++) {
            for (size_t k = 0; k < sizeof specials; k++) {
                memset(text, 'a', len);
                if (hit < len) text[hit] = specials[k];
                if (hit + 1 < len) text[hit + 1] = '"';
                const uint8_t *end = text + len;
                size_t quote = hit + 1 < len ? hit + 1 : len;
                size_t first = hit < len && k < 6 ? hit : quote;
                size_t escape = hit < len && k < 4 ? hit : quote;
                for (size_t from = 0; from <= hit; from += 1 + hit / 8) {
                    assert_int_equal(json_scan_swar(text, text + from, end) - text, first);
                    assert_int_equal(json_scan_escape_swar(text + from, end) - text, escape);
#if JSON_HAVE_AVX2
                    if (json_cpu_avx2()) {
                        assert_int_equal(json_scan_avx2(text, text + from, end) - text, first);
                        assert_int_equal(json_scan_escape_avx2(text + from, end) - text, escape);
                    }
#endif
                }
                assert_int_equal(json_count_escapes(text, end),
                                 (hit < len && k < 4) + (hit + 1 < len));
            }
        }
        free(text);
    }
}

static void test_documents(void **state) {
    (void)state;
    weir_json_fault fault;
    static const char text[] =
        "{\"s\":\"a\\tb\",\"i\":-3,\"u\":18446744073709551615,\"f\":1.5,\"t\":true,"
        "\"n\":null,\"d\":1e999,\"o\":{\"s\":\"\\u00e9\"}}";
    weir_json_doc *doc = weir_json_read((weir_str){text, sizeof text - 1}, 0, &fault);
    assert_non_null(doc);
    const weir_value *root = weir_json_root(doc);
    weir_str s = weir_json_get_str(root, "s", NULL);
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.ptr, "a\tb", 3);
    assert_int_equal(weir_json_get_str(root, "i", "x").len, 1);
    assert_int_equal(weir_json_get_str(root, "absent", NULL).len, 0);
    assert_int_equal(weir_json_get_str(root, "d", "number").len, 6);
    assert_int_equal(weir_json_get_i64(root, "i", 9), -3);
    assert_int_equal(weir_json_get_i64(root, "u", 9), 9);
    assert_int_equal(weir_json_get_i64(root, "n", 9), 9);
    assert_true(weir_json_get_f64(root, "f", 0) == 1.5);
    assert_true(weir_json_get_f64(root, "i", 0) == -3);
    assert_true(weir_json_get_f64(root, "u", 0) == 18446744073709551616.0);
    assert_true(weir_json_get_f64(root, "s", 7) == 7);
    assert_int_equal(weir_json_get_bool(root, "t", 0), 1);
    assert_int_equal(weir_json_get_bool(root, "i", 0), 0);
    assert_int_equal(weir_json_get_str(weir_json_get(root, "o"), "s", NULL).len, 2);
    assert_null(weir_json_get(NULL, "s"));
    assert_null(weir_json_get(weir_json_get(root, "s"), "s"));
    weir_json_free(doc);

    assert_null(weir_json_read((weir_str){"[1,\n\n  x]", 9}, 0, &fault));
    assert_int_equal(fault.line, 3);
    assert_int_equal(fault.column, 3);
    assert_null(weir_json_read((weir_str){NULL, 0}, 0, NULL));
    weir_json_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tape),         cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_faults),       cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_escapes),      cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_vectors), cmocka_unit_test(test_strings_agree),
        cmocka_unit_test(test_depth),        cmocka_unit_test(test_unique_names),
        cmocka_unit_test(test_unique_large), cmocka_unit_test(test_variants_agree),
        cmocka_unit_test(test_scans),        cmocka_unit_test(test_documents)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
