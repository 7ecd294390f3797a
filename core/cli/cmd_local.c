/*
 * weir local: becomes weir-local, the AWS endpoint of this machine. It is a program of its own,
 * because it is no part of what moves records: weir does not link it, and it may be left out of an
 * installation.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/os.h"
#include "cli/cli.h"

/* Replaces this process; an exit status only if that failed, which has been said. */
static int become(char *const *words, int count) {
    arena *memory = arena_new((size_t)1 << 20);
    const char *folder = os_program_dir(memory);
    const char *path = folder != NULL ? arena_printf(memory, "%s/weir-local", folder) : NULL;
    char **argv = arena_array(memory, (size_t)count + 2, sizeof *argv);
    int code = ENOMEM;
    if (path != NULL && argv != NULL) {
        static char name[] = "weir-local";
        argv[0] = name;
        for (int i = 0; i < count; i++) argv[i + 1] = words[i];
        execv(path, argv);
        code = errno;
    }
    char reason[128];
    fprintf(stderr, "weir local: cannot start %s: %s\n", path != NULL ? path : "weir-local",
            os_strerror(code, reason, sizeof reason));
    if (code == ENOENT) {
        fprintf(stderr, "  the program weir-local belongs beside weir: build the target of that "
                        "name, or install weir anew\n");
    }
    arena_free(memory);
    return EXIT_FAILED;
}

static int local(int argc, char **argv) {
    return become(argv, argc);
}

int local_help(void) {
    static char help[] = "--help";
    fputs(command_local.help, stdout);
    if (fflush(stdout) != 0) return EXIT_FAILED;
    return become((char *const[]){help}, 1);
}

const command command_local = {
    "local", "start an AWS endpoint on this machine, for developing without an account",
    "usage: weir local [OPTION]...\n"
    "\n"
    "Starts weir-local, the program beside this one, with the same options: Kinesis and more in one\n"
    "process, in memory. One line of JSON says where it listens; what AWS clients then need is that\n"
    "endpoint and the keys `local` and `local-secret`. Ctrl-C ends it.\n"
    "\n"
    "examples:\n"
    "  weir local --listen 127.0.0.1:4566 --stream clicks:2\n"
    "  weir local --dir ~/.cache/weir-local --tls-self-signed ~/.cache/weir-local\n"
    "\n"
    "exit status: 0 ended in order, 1 it could not start, or not keep its state, 2 wrong usage\n"
    "\n"
    "The options, as weir-local tells them:\n"
    "\n",
    local};
