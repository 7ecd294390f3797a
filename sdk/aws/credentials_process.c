#define _GNU_SOURCE /* pipe2 */
/*
 * A program that prints keys (credential_process). It runs beside the task: its output is read
 * without waiting, it is killed at its deadline, and nothing of what it prints on standard output
 * is ever shown. It must not be left behind by a plugin that closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "credentials_fetch.h"

#define OUTPUT_MAX 65536u
#define ERRORS_MAX 512u /* of what it says on standard error */
#define WORDS_MAX 64u

extern char **environ;

struct key_process {
    pid_t pid; /* 0 = reaped */
    int out, err;
    int64_t deadline_ns;
    text output, errors;
    char *program; /* its first word */
    int status;
    bool late, too_long;
};

static bool spawn(key_process *p, char *const *words, aws_problem *problem);
static void drain(int *fd, text *into, size_t max, bool *too_long);
static void close_fd(int *fd);
static bool failed(const key_process *p, aws_problem *problem, const char *words);

key_process *key_process_start(const char *command, int64_t deadline_ns, aws_problem *problem) {
    char **words = key_process_words(command);
    if (!words || !words[0]) {
        free(words);
        aws_refuse(problem, "credentials.command",
                   "the credential process is empty, has an open quote or more than 63 words",
                   "it is a program with its arguments, separated by blanks");
        return NULL;
    }
    key_process *p = calloc(1, sizeof *p);
    if (p) {
        p->out = p->err = -1;
        p->deadline_ns = deadline_ns;
        p->program = strdup(words[0]);
    }
    bool ok = p && p->program && spawn(p, words, problem);
    /* Arguments may hold secrets. */
    for (char **w = words; *w; w++) OPENSSL_cleanse(*w, strlen(*w));
    free(words);
    if (ok) return p;
    if (problem->status == WEIR_OK) aws_no_memory(problem);
    key_process_free(p);
    return NULL;
}

bool key_process_drive(key_process *p, int64_t now_ns) {
    drain(&p->out, &p->output, OUTPUT_MAX, &p->too_long);
    drain(&p->err, &p->errors, ERRORS_MAX, NULL);
    if (p->pid != 0 && (p->too_long || now_ns >= p->deadline_ns)) {
        p->late = !p->too_long;
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR) continue;
        p->pid = 0;
        return true;
    }
    if (p->pid != 0) {
        pid_t reaped = waitpid(p->pid, &p->status, WNOHANG);
        if (reaped == 0 || (reaped < 0 && errno == EINTR)) return false;
        if (reaped < 0) p->status = 0; /* somebody else reaped it: its output decides */
        p->pid = 0;
    }
    /* What it wrote last may have come after the reading above. A child of its own that keeps the
     * pipes open is not waited for. */
    drain(&p->out, &p->output, OUTPUT_MAX, &p->too_long);
    drain(&p->err, &p->errors, ERRORS_MAX, NULL);
    return true;
}

bool key_process_take(key_process *p, const char *origin, aws_identity *keys,
                      aws_problem *problem) {
    if (p->late) return failed(p, problem, "gave no keys in time");
    if (p->too_long) return failed(p, problem, "printed more than 65,536 bytes");
    if (WIFSIGNALED(p->status)) return failed(p, problem, "was ended by a signal");
    if (WEXITSTATUS(p->status) != 0) {
        text t = {0};
        text_add_f(&t, "ended with exit status %d", WEXITSTATUS(p->status));
        const char *z = text_z(&t);
        failed(p, problem, z ? z : "failed");
        text_free(&t);
        return false;
    }
    text what = {0};
    text_add_f(&what, "the credential process %.256s", p->program);
    const char *z = text_z(&what);
    bool ok = keys_from_json(text_str(&p->output), "SessionToken", true,
                             z ? z : "the credential process", origin, keys, problem);
    text_free(&what);
    return ok;
}

void key_process_free(key_process *p) {
    if (!p) return;
    if (p->pid != 0) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR) continue;
    }
    close_fd(&p->out);
    close_fd(&p->err);
    text_free(&p->output);
    text_free(&p->errors);
    free(p->program);
    free(p);
}

char **key_process_words(const char *command) {
    size_t len = strlen(command);
    char **words = calloc(1, (WORDS_MAX + 1) * sizeof *words + len + WORDS_MAX + 1);
    if (!words) return NULL;
    char *out = (char *)(words + WORDS_MAX + 1);
    size_t count = 0;
    const char *c = command;
    for (;;) {
        while (*c == ' ' || *c == '\t' || *c == '\n') c++;
        if (*c == '\0') return words;
        if (count == WORDS_MAX - 1) break;
        words[count++] = out;
        char quote = 0;
        for (; *c && (quote || (*c != ' ' && *c != '\t' && *c != '\n')); c++) {
            if (quote ? *c == quote : *c == '"' || *c == '\'') {
                quote = quote ? 0 : *c;
                continue;
            }
            if (*c == '\\' && quote != '\'' && c[1] != '\0') c++;
            *out++ = *c;
        }
        *out++ = '\0';
        if (quote) break;
    }
    OPENSSL_cleanse(words + WORDS_MAX + 1, len + WORDS_MAX + 1);
    free(words);
    return NULL;
}

/* Without a shell; with default signals and an unblocked mask, whatever the host has set. */
static bool spawn(key_process *p, char *const *words, aws_problem *problem) {
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0 ||
        fcntl(out[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) != 0 ||
        posix_spawn_file_actions_init(&actions) != 0) {
        close_fd(&out[0]);
        close_fd(&out[1]);
        close_fd(&err[0]);
        close_fd(&err[1]);
        return failed(p, problem, "cannot be started: no more files");
    }
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    int code = posix_spawnp(&p->pid, words[0], &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close_fd(&out[1]);
    close_fd(&err[1]);
    p->out = out[0];
    p->err = err[0];
    if (code == 0) return true;
    p->pid = 0;
    text t = {0};
    text_add_f(&t, "cannot be started: %s", strerror(code));
    const char *z = text_z(&t);
    failed(p, problem, z ? z : "cannot be started");
    text_free(&t);
    return false;
}

static void drain(int *fd, text *into, size_t max, bool *too_long) {
    char piece[4096];
    while (*fd >= 0) {
        ssize_t n = read(*fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) {
            close_fd(fd);
            break;
        }
        size_t take = (size_t)n;
        if (take > max - into->len) {
            take = max - into->len;
            if (too_long) *too_long = true;
        }
        text_add(into, piece, take);
        if (too_long && *too_long) break;
    }
    OPENSSL_cleanse(piece, sizeof piece);
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* What it printed on standard error is for people, and goes into the words; never its output. */
static bool failed(const key_process *p, aws_problem *problem, const char *words) {
    text_add_f(&problem->words, "the credential process %.256s ", p->program);
    text_add_z(&problem->words, words);
    weir_str said = text_str(&p->errors);
    while (said.len && strchr(" \t\r\n", said.ptr[said.len - 1])) said.len--;
    if (said.len) {
        text_add_z(&problem->words, ": ");
        for (uint64_t i = 0; i < said.len; i++) {
            unsigned char c = (unsigned char)said.ptr[i];
            text_add_char(&problem->words, c < ' ' || c == 127 ? ' ' : (char)c);
        }
    }
    return aws_refuse(problem, "credentials.command", "",
                      "run the command by hand: it prints {\"Version\": 1, \"AccessKeyId\": ...}");
}
