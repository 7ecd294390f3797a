/* cmocka wants these in front of it. */
#ifndef WEIR_TESTS_LOADER_CM_H
#define WEIR_TESTS_LOADER_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
