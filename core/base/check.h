/*
 * core/base/check.h - assertions that stay on in release builds.
 *
 * For programmer errors only: what a user, a plugin or a system can cause is an error, not an
 * assertion.
 */
#ifndef WEIR_BASE_CHECK_H
#define WEIR_BASE_CHECK_H

void assert_failed(const char *expression, const char *file, int line) __attribute__((noreturn));

#define WEIR_ASSERT(e) ((e) ? (void)0 : assert_failed(#e, __FILE__, __LINE__))

#endif
