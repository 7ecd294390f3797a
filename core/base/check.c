#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void assert_failed(const char *expression, const char *file, int line) {
    /* Straight to the descriptor: whatever is broken, stdio's locks and the log may be part of it.
     */
    char text[512];
    int n =
        snprintf(text, sizeof text, "weir: %s:%d: assertion failed: %s\n", file, line, expression);
    if (n > 0) {
        size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
        ssize_t written = write(STDERR_FILENO, text, len);
        (void)written;
    }
    abort();
}
