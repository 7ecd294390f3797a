/* JSONTestSuite: all y_ cases are accepted, all n_ cases refused; what the i_ cases do is written
 * down here, because a change of it is a change users see. */
#include <dirent.h>
#include <stdio.h>

#include "json_test.h"

/* i_ cases that are accepted: numbers out of a double's range keep their text; the replacement
 * characters in the published copy are ordinary text; deep nesting within the limit. */
static const char *const accepted[] = {
    "i_number_double_huge_neg_exp.json",  "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",     "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",    "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",       "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",      "i_number_very_big_negative_int.json",
    "i_structure_500_nested_arrays.json",
};

static char *load(const char *path, size_t *len) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be read", path);
    char *bytes = malloc(1 << 20);
    assert_non_null(bytes);
    *len = fread(bytes, 1, 1 << 20, f);
    assert_true(*len < 1 << 20);
    fclose(f);
    return bytes;
}

static int has_replacement(const char *text, size_t len) {
    for (size_t i = 0; i + 3 <= len; i++)
        if (memcmp(text + i, "\xef\xbf\xbd", 3) == 0) return 1;
    return 0;
}

static void test_cases(void **state) {
    (void)state;
    const char *folder = getenv("WEIR_JSON_TEST_SUITE");
    if (!folder) folder = JSON_TEST_SUITE;
    DIR *dir = opendir(folder);
    if (!dir)
        fail_msg("%s is missing: run tests/tools/fetch_json_test_suite (scripts/test does)",
                 folder);
    json_parse_fn parse[2];
    uint32_t parsers = variants(parse);
    uint32_t yes = 0, no = 0, either = 0, wrong = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (name[0] == '.') continue;
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, name);
        size_t len;
        char *text = load(path, &len);
        for (uint32_t i = 0; i < parsers; i++) {
            parsed *t = parse_bytes(text, len, 0, 1000, parse[i]);
            int ok = t->status == WEIR_OK;
            int want = name[0] == 'y';
            if (name[0] == 'i') {
                want = name[2] == 's' && name[4] == 'r' && has_replacement(text, len) &&
                       text[0] == '[' && text[1] == '"';
                for (size_t k = 0; k < sizeof accepted / sizeof accepted[0]; k++)
                    if (strcmp(accepted[k], name) == 0) want = 1;
            }
            if (ok != want) {
                print_error("%s: %s (%s)\n", name, ok ? "accepted" : "refused",
                            ok ? "" : t->p.fault.text);
                wrong++;
            }
            if (ok) {
                /* What was accepted must be written as something that is accepted. */
                uint64_t bound = weir_json_bound(t->p.nodes);
                char *again = malloc(bound);
                uint64_t written = weir_json_write(t->p.nodes, again);
                assert_true(written <= bound);
                parsed *back = parse_bytes(again, written, 0, 1000, parse[i]);
                assert_same(t, back);
                parsed_free(back);
                free(again);
            }
            parsed_free(t);
        }
        yes += name[0] == 'y';
        no += name[0] == 'n';
        either += name[0] == 'i';
        free(text);
    }
    closedir(dir);
    assert_int_equal(wrong, 0);
    assert_int_equal(yes, 95);
    assert_int_equal(no, 188);
    assert_int_equal(either, 35);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
