/*
 * The handlers: everything here is async-signal-safe. No allocation, no stdio, no locks; system
 * calls, own number formatting, and backtrace(), which crash_install has primed.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "supervise/crash_private.h"

#define FRAMES_MAX 64
/* An unwinder that hangs (a lock that the crashed thread holds) must not keep the process. */
#define REPORT_SECONDS 10u
/* A thread that blocks our question, as some libraries' threads do, is left out after this. */
#define ANSWER_MS 500
/* How long a reader of standard error may take for some lines. */
#define SHOW_MS 1000
/* Of a hung worker: all threads' traces together; a line says that there are more. */
#define THREADS_MAX 256

static _Atomic pid_t reporter; /* the thread that writes the report */
static int report_fd = -1;
static _Atomic pid_t asked; /* the thread that is to show its back trace; 0: it has */

/* ---- text ---- */

static void write_all(int fd, const char *bytes, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, bytes + at, len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        at += (size_t)n;
    }
}

/* Where the report is written: the file, or standard error if there is none. */
static int out_fd(void) {
    return report_fd >= 0 ? report_fd : STDERR_FILENO;
}

static void put_bytes(const char *bytes, size_t len) {
    write_all(out_fd(), bytes, len);
}

static void put(const char *text) {
    put_bytes(text, strlen(text));
}

/* Digits of `value`, at least `width`, into `end` backwards; answers where they begin. */
static char *digits(char *end, uint64_t value, unsigned base, int width) {
    do {
        *--end = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0 || --width > 0);
    return end;
}

static void put_number(uint64_t value, unsigned base) {
    char text[32];
    char *begin = digits(text + sizeof text, value, base, 1);
    put_bytes(begin, (size_t)(text + sizeof text - begin));
}

typedef struct path_text {
    char bytes[4096];
    size_t len;
} path_text;

static void path_add(path_text *p, const char *text, size_t len) {
    if (p->len + len >= sizeof p->bytes) return;
    memcpy(p->bytes + p->len, text, len);
    p->len += len;
    p->bytes[p->len] = '\0';
}

static void path_number(path_text *p, uint64_t value, int width) {
    char text[32];
    char *end = text + sizeof text;
    char *begin = digits(end, value, 10, width);
    if (end - begin > width && width > 1) begin = end - width;
    path_add(p, begin, (size_t)(end - begin));
}

/* 20261121T100000Z: gmtime is not for handlers. */
static void path_time(path_text *p, int64_t seconds) {
    int64_t days = seconds / 86400, rest = seconds % 86400;
    /* Days since 0000-03-01, in eras of 400 years, so that the leap day is a year's last. */
    int64_t z = days + 719468, era = z / 146097, day_of_era = z % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    path_number(p, (uint64_t)(year_of_era + era * 400 + (month <= 2)), 4);
    path_number(p, (uint64_t)month, 2);
    path_number(p, (uint64_t)(day_of_year - (153 * shifted + 2) / 5 + 1), 2);
    path_add(p, "T", 1);
    path_number(p, (uint64_t)(rest / 3600), 2);
    path_number(p, (uint64_t)(rest / 60 % 60), 2);
    path_number(p, (uint64_t)(rest % 60), 2);
    path_add(p, "Z", 1);
}

static void open_report(void) {
    static path_text path; /* one report a process */
    if (crash_known.folder[0] == '\0') return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    path_add(&path, crash_known.folder, strlen(crash_known.folder));
    path_add(&path, "/crash-", 7);
    path_time(&path, now.tv_sec);
    path_add(&path, "-", 1);
    path_number(&path, (uint64_t)crash_known.pid, 1);
    path_add(&path, ".txt", 4);
    report_fd =
        open(path.bytes, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_APPEND, 0600);
}

/* ---- what there is to say ---- */

static const char *signal_name(int number) {
    switch (number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    default:
        return "SIGABRT";
    }
}

static pid_t thread_id(void) {
    return (pid_t)syscall(SYS_gettid);
}

static uintptr_t fault_pc(const void *context) {
    const ucontext_t *c = context;
#if defined(__x86_64__)
    return (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)c->uc_mcontext.pc;
#else
    (void)c;
    return 0;
#endif
}

static const char *plugin_at(uintptr_t address) {
    uint32_t count = atomic_load(&crash_known.object_count);
    for (uint32_t i = 0; i < count; i++) {
        const crash_object *o = &crash_known.objects[i];
        if (address >= o->begin && address < o->end) return o->plugin;
    }
    return NULL;
}

/* The thread's name, the plugin that it was in, and how it came there. */
static void put_thread(const void *context) {
    char kernel_name[17] = "";
    (void)prctl(PR_GET_NAME, kernel_name, 0, 0, 0);
    put("thread:   ");
    put(crash_thread_name[0] != '\0' ? crash_thread_name : kernel_name);
    put(" (");
    put_number((uint64_t)thread_id(), 10);
    put(")\n");
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);
    const char *plugin = plugin_at(fault_pc(context));
    for (int i = 0; i < count && plugin == NULL; i++) plugin = plugin_at((uintptr_t)frames[i]);
    put("plugin:   ");
    put(plugin != NULL ? plugin : "none in the back trace");
    put("\nback trace:\n");
    backtrace_symbols_fd(frames, count, out_fd());
}

void crash_on_ask(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)info;
    int saved = errno;
    if (atomic_load(&asked) == thread_id()) {
        put("\n");
        put_thread(context);
        atomic_store(&asked, 0);
    }
    errno = saved;
}

static void ask_thread(pid_t thread) {
    atomic_store(&asked, thread);
    if (syscall(SYS_tgkill, crash_known.pid, thread, CRASH_SIGNAL_ASK) != 0) return;
    struct timespec ms = {0, 1000000};
    for (int i = 0; i < ANSWER_MS && atomic_load(&asked) != 0; i++) nanosleep(&ms, NULL);
    pid_t expected = thread;
    if (!atomic_compare_exchange_strong(&asked, &expected, 0)) return;
    put("\nthread:   ");
    put_number((uint64_t)thread, 10);
    put(" did not answer\n");
}

struct thread_entry { /* what getdents64 gives */
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

/* Which of them hangs nobody knows; so each says where it is. */
static void put_other_threads(void) {
    int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return;
    static _Alignas(struct thread_entry) char entries[8192];
    int shown = 0;
    for (long n; (n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < n;) {
            const struct thread_entry *e = (const struct thread_entry *)(entries + at);
            at += e->size;
            pid_t thread = 0;
            for (const char *c = e->name; *c >= '0' && *c <= '9'; c++)
                thread = thread * 10 + (*c - '0');
            if (thread == 0 || thread == thread_id()) continue;
            if (shown++ < THREADS_MAX) ask_thread(thread);
        }
    }
    close(dir);
    if (shown > THREADS_MAX) put("\nmore threads than are shown\n");
}

/* The file's text on standard error, as far as somebody reads it: a pipe that is full does not keep
 * us. */
static void show_report(void) {
    char piece[512]; /* less than a pipe takes whole when it says that it is writable */
    off_t at = 0;
    for (ssize_t n; (n = pread(report_fd, piece, sizeof piece, at)) > 0; at += n) {
        struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (poll(&out, 1, SHOW_MS) != 1 || (out.revents & POLLOUT) == 0) return;
        write_all(STDERR_FILENO, piece, (size_t)n);
    }
}

static void write_report(int number, const siginfo_t *info, const void *context) {
    open_report();
    bool hung = number == SIGABRT && info->si_code <= 0 && info->si_pid == crash_known.supervisor;
    put("\n---- weir crash report ----\npipeline: ");
    put(crash_known.pipeline);
    put("\nprocess:  ");
    put_number((uint64_t)crash_known.pid, 10);
    put("\nsignal:   ");
    put(signal_name(number));
    if (hung) {
        put(", asked by the supervisor: a thread hangs");
    } else if (info->si_code <= 0) {
        put(", sent by process ");
        put_number((uint64_t)info->si_pid, 10);
    } else {
        put(" at address 0x");
        put_number((uint64_t)(uintptr_t)info->si_addr, 16);
    }
    put("\n");
    put_thread(context);
    if (hung) put_other_threads();
    put("---- end of report ----\n");
    if (report_fd < 0) return;
    show_report();
    close(report_fd);
}

void crash_on_signal(int number, siginfo_t *info, void *context) {
    pid_t none = 0;
    if (atomic_compare_exchange_strong(&reporter, &none, thread_id())) {
        signal(SIGALRM, SIG_DFL);
        alarm(REPORT_SECONDS);
        write_report(number, info, context);
    } else {
        /* Another thread crashed first and is writing: this one waits for the end. */
        struct timespec end = {REPORT_SECONDS, 0};
        nanosleep(&end, NULL);
    }
    /* The exit status shall show the signal: it is blocked here, and strikes on return. */
    signal(number, SIG_DFL);
    (void)syscall(SYS_tgkill, crash_known.pid, thread_id(), number);
}
