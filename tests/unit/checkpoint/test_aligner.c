/*
 * Barriers over several inputs, as scripts: "0b5" = input 0 delivers barrier 5, "0l5" the same and
 * the last one, "0e" = it ends; "!7" behind that = the alignment of epoch 7 is complete with it;
 * "[01]" = exactly these inputs are blocked now.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checkpoint/aligner.h"

static void blocked(const aligner *a, const char *expected) {
    char is[32];
    size_t n = 0;
    is[n++] = '[';
    for (uint32_t i = 0; i < a->count; i++)
        if (aligner_blocked(a, i)) is[n++] = (char)('0' + i);
    is[n++] = ']';
    is[n] = '\0';
    assert_string_equal(is, expected);
}

static void play(aligner *a, const char *script) {
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", script);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        if (word[0] == '[') {
            blocked(a, word);
            continue;
        }
        uint32_t input = (uint32_t)(word[0] - '0');
        char *rest = NULL;
        bool complete;
        if (word[1] == 'e') {
            complete = aligner_end(a, input);
            rest = word + 2;
        } else {
            complete = aligner_barrier(a, input, strtoull(word + 2, &rest, 10), word[1] == 'l');
        }
        assert_int_equal(complete, *rest == '!');
        if (complete) {
            assert_int_equal(a->aligned, strtoull(rest + 1, NULL, 10));
            assert_false(aligner_pending(a));
            blocked(a, "[]");
        }
    }
}

static void aligns(void **state) {
    (void)state;
    static const struct {
        uint32_t inputs;
        const char *script;
    } cases[] = {
        {1, "0b1!1 [] 0b2!2 [] 0b9!9"},
        {2, "0b1 [0] 1b1!1 [] 1b2 [1] 0b2!2 []"},
        {3, "2b1 [2] 0b1 [02] 1b1!1 []"},
        /* A higher barrier takes over and lets go of those that wait for the lower one. */
        {2, "0b1 [0] 1b2 [1] 0b2!2 []"},
        {3, "0b1 1b1 [01] 2b2 [2] 0b2 [02] 1b2!2 []"},
        {3, "0b1 1b2 [1] 2b3 [2] 0b3 [02] 1b3!3"},
        {2, "0b1 [0] 0b2 [0] 1b2!2"},
        /* Lower ones are of an epoch that was given up. */
        {2, "0b2 [0] 1b1 [0] 1b2!2 []"},
        {2, "0b2 1b2!2 0b1 [] 1b2 [] 0b2 [] 1b1 []"},
        /* The same twice counts once. */
        {2, "0b1 0b1 [0] 1b1!1"},
        /* Who ended does not count. */
        {2, "0e 1b1!1 1b2!2"},
        {2, "0b1 [0] 1e!1 []"},
        {3, "0b1 1e [0] 2b1!1"},
        {3, "0b1 2b1 [02] 1e!1 []"},
        {2, "0e 1e"},
        {2, "0b1 [0] 0e [] 1b1!1"},
        {2, "0b1 0e 1e!1"},
        {2, "0b1 [0] 1e!1 1e 1b2 0b2!2"},
        {2, "0b1 [0] 1b2 [1] 0e!2"},
        /* Inputs that are not there change nothing. */
        {1, "3b1 [] 3e [] 0b1!1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aligner a;
        assert_true(aligner_init(&a, cases[i].inputs));
        play(&a, cases[i].script);
        aligner_destroy(&a);
    }
}

static void knows_the_last(void **state) {
    (void)state;
    aligner a;
    assert_true(aligner_init(&a, 2));
    play(&a, "0b1 1b1!1");
    assert_false(a.last);
    play(&a, "0l2 1b3 0b3!3"); /* the last one was given up */
    assert_false(a.last);
    play(&a, "0b4 1l5 0l5!5");
    assert_true(a.last);
    aligner_destroy(&a);
}

static void without_memory(void **state) {
    (void)state;
    for (int n = 1; n <= 2; n++) {
        aligner a;
        mem_test_fail_at(n, false);
        assert_false(aligner_init(&a, 4));
        mem_test_fail_at(0, false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns),
        cmocka_unit_test(knows_the_last),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
