/*
 * core/supervise/crash.h - what a crashing worker still says.
 *
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write a report to standard error and to
 * <state>/<pipeline>/crash-<time>-<pid>.txt (0600): the signal and address, the thread's name, the
 * plugin whose code it was in (the first frame inside a plugin's .so), and a back trace; a SIGABRT
 * of the supervisor, which is how a hung worker is asked, the back traces of all threads.
 * Async-signal-safe, on an alternate stack, then the default action. No record contents: registers
 * and memory are not shown.
 *
 * Under AddressSanitizer and ThreadSanitizer nothing is installed: they report themselves.
 */
#ifndef WEIR_SUPERVISE_CRASH_H
#define WEIR_SUPERVISE_CRASH_H

#include "base/error.h"

/* Reports kept in a folder; the oldest make room at crash_install. */
#define CRASH_REPORTS_MAX 20u

/* One loaded plugin, so that an address has a name; copied, at most a few hundred. Before or after
 * crash_install, but after the plugin was loaded and before its threads run. [control] */
void crash_name_object(const char *path, const char *plugin);
/* `folder` is where reports go; it is made if need be; NULL: standard error only. Also names the
 * calling thread. [control] */
weir_status crash_install(const char *folder, const char *pipeline, weir_error *err);
/* Gives the calling thread its alternate stack and its name in reports ("clicks/kinesis[0]").
 * Without the memory for a stack it has the name only. [any] */
void crash_thread(const char *name);
/* Before the thread ends. [any] */
void crash_thread_end(void);

#endif
