/*
 * core/supervise/crash_private.h - what the signal handlers read.
 *
 * All of it is written before the handlers can run (objects: before the plugin's threads), so they
 * read it without locks.
 */
#ifndef WEIR_SUPERVISE_CRASH_PRIVATE_H
#define WEIR_SUPERVISE_CRASH_PRIVATE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/limits.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CRASH_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRASH_SANITIZED 1
#endif
#ifndef CRASH_SANITIZED
#define CRASH_SANITIZED 0
#endif

#define CRASH_OBJECTS_MAX 256u

typedef struct crash_object { /* a plugin's .so in memory */
    uintptr_t begin, end;
    char plugin[96];
} crash_object;

typedef struct crash_facts {
    crash_object objects[CRASH_OBJECTS_MAX];
    _Atomic uint32_t object_count; /* objects below it are complete */
    char folder[3072];
    char pipeline[LIMIT_NAME_BYTES + 1];
    pid_t pid, supervisor;
} crash_facts;

extern crash_facts crash_known;
extern _Thread_local char crash_thread_name[LIMIT_NAME_BYTES + 64];

/* Asks a thread for its back trace, in the report of a hung worker. */
#define CRASH_SIGNAL_ASK (SIGRTMAX - 3)

/* The handlers. crash_report.c */
void crash_on_signal(int number, siginfo_t *info, void *context);
void crash_on_ask(int number, siginfo_t *info, void *context);

#endif
