/*
 * core/supervise/crash.h - what a crashing worker still says.
 *
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write a report to standard error and to
 * <state>/<pipeline>/crash-<time>-<pid>.txt (0600): the signal and address, the thread's name, the
 * plugin whose code it was in (the first frame inside a plugin's .so), the task and node, and a
 * back trace. Async-signal-safe, on an alternate stack, then the default action. No record
 * contents.
 */
#ifndef WEIR_SUPERVISE_CRASH_H
#define WEIR_SUPERVISE_CRASH_H

#include "base/error.h"

/* One loaded plugin, so that an address has a name; copied, at most a few hundred. [control] */
void crash_name_object(const char *path, const char *plugin);
/* `folder` is where reports go. [control] */
weir_status crash_install(const char *folder, const char *pipeline, weir_error *err);
/* Gives the calling thread its alternate stack and its name in reports ("clicks/kinesis[0]").
 * [any] */
void crash_thread(const char *name);
void crash_thread_end(void);

#endif
