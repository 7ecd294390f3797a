#include "supervise/crash.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "supervise/crash_private.h"

/* Unwinding takes some KiB; the frame that the kernel pushes grows with the processor's registers.
 */
#define STACK_BYTES ((size_t)128 * 1024)
/* Reports looked at when old ones are removed: a folder that has more is cleaned in several runs.
 */
#define REPORTS_SEEN_MAX 1000u

crash_facts crash_known;
_Thread_local char crash_thread_name[LIMIT_NAME_BYTES + 64];
static _Thread_local void *stack; /* this thread's alternate one */

static void remove_old_reports(const char *folder);

/* ---- objects ---- */

typedef struct search {
    struct stat file;
    crash_object *found;
} search;

static int match_object(struct dl_phdr_info *info, size_t size, void *opaque) {
    (void)size;
    search *s = opaque;
    struct stat st;
    if (info->dlpi_name == NULL || info->dlpi_name[0] == '\0') return 0;
    if (stat(info->dlpi_name, &st) != 0) return 0;
    if (st.st_dev != s->file.st_dev || st.st_ino != s->file.st_ino) return 0;
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
        uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t to = from + info->dlpi_phdr[i].p_memsz;
        if (from < begin) begin = from;
        if (to > end) end = to;
    }
    s->found->begin = begin;
    s->found->end = end;
    return 1;
}

void crash_name_object(const char *path, const char *plugin) {
    uint32_t count = atomic_load(&crash_known.object_count);
    search s;
    if (count == CRASH_OBJECTS_MAX || stat(path, &s.file) != 0) return;
    s.found = &crash_known.objects[count];
    if (dl_iterate_phdr(match_object, &s) != 1) return;
    snprintf(s.found->plugin, sizeof s.found->plugin, "%s", plugin);
    atomic_store(&crash_known.object_count, count + 1);
}

/* ---- installation ---- */

weir_status crash_install(const char *folder, const char *pipeline, weir_error *err) {
    weir_status status = folder != NULL ? os_make_dirs(folder, 0700, err) : WEIR_OK;
    if (status != WEIR_OK) return status;
    crash_thread(pipeline);
    if (CRASH_SANITIZED) return WEIR_OK;
    snprintf(crash_known.folder, sizeof crash_known.folder, "%s", folder != NULL ? folder : "");
    snprintf(crash_known.pipeline, sizeof crash_known.pipeline, "%s", pipeline);
    crash_known.pid = getpid();
    crash_known.supervisor = getppid();
    if (folder != NULL) remove_old_reports(folder);
    /* The first call loads the unwinder's library and allocates: here, not in a handler. */
    void *frames[4];
    (void)backtrace(frames, 4);
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = crash_on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    /* A fault inside the handler ends the process at once: the kernel does not wait for a blocked
     * SIGSEGV. */
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) sigaddset(&action.sa_mask, fatal[i]);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) sigaction(fatal[i], &action, NULL);
    action.sa_sigaction = crash_on_ask;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(CRASH_SIGNAL_ASK, &action, NULL);
    return WEIR_OK;
}

void crash_thread(const char *name) {
    snprintf(crash_thread_name, sizeof crash_thread_name, "%s", name);
    if (CRASH_SANITIZED || stack != NULL) return;
    void *memory =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    stack_t alternate = {.ss_sp = memory, .ss_size = STACK_BYTES};
    if (sigaltstack(&alternate, NULL) == 0) {
        stack = memory;
    } else {
        munmap(memory, STACK_BYTES);
    }
}

void crash_thread_end(void) {
    crash_thread_name[0] = '\0';
    if (stack == NULL) return;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    munmap(stack, STACK_BYTES);
    stack = NULL;
}

/* ---- old reports ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names begin with the time, so that their order is that of time. */
static void remove_old_reports(const char *folder) {
    DIR *dir = opendir(folder);
    char **names = mem_array(REPORTS_SEEN_MAX, sizeof *names);
    size_t count = 0;
    if (dir != NULL && names != NULL) {
        for (struct dirent *e; (e = readdir(dir)) != NULL && count < REPORTS_SEEN_MAX;) {
            weir_str name = str_of(e->d_name);
            if (!str_starts(name, STR("crash-")) || !str_ends(name, STR(".txt"))) continue;
            names[count] = strdup(e->d_name);
            if (names[count] != NULL) count++;
        }
        qsort(names, count, sizeof *names, by_name);
        for (size_t i = 0; i + CRASH_REPORTS_MAX <= count; i++)
            (void)unlinkat(dirfd(dir), names[i], 0); /* one place is for the next */
    }
    for (size_t i = 0; i < count; i++) free(names[i]);
    mem_free(names);
    if (dir != NULL) closedir(dir);
}
