/*
 * weir: the program. Finds the command and runs it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "base/str.h"
#include "cli/cli.h"

static int show_help(int argc, char **argv);
static int show_version(int argc, char **argv);

static const command command_help = {"help", "say how weir, or one command, is used",
                                     "usage: weir help [COMMAND]\n"
                                     "\n"
                                     "The same as `weir --help` and `weir COMMAND --help`.\n"
                                     "\n"
                                     "example:\n"
                                     "  weir help run\n"
                                     "\n"
                                     "exit status: 0 ok, 2 there is no such command\n",
                                     show_help};

static const command command_version = {
    "version", "say which weir this is",
    "usage: weir version\n"
    "\n"
    "The version of the program, and the plugin ABI it offers. The same as `weir --version`.\n"
    "\n"
    "example:\n"
    "  weir version\n"
    "\n"
    "exit status: 0 ok, 2 wrong usage\n",
    show_version};

static const command *const commands[] = {&command_run,     &command_check,  &command_plan,
                                          &command_plugins, &command_status, &command_savepoint,
                                          &command_stop,    &command_top,    &command_state,
                                          &command_local,   &command_help,   &command_version};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void help(FILE *out) {
    fprintf(out, "weir moves records between streaming systems, as a YAML manifest says.\n"
                 "\n"
                 "usage: weir COMMAND ...\n"
                 "\n");
    for (size_t c = 0; c < COMMANDS; c++) {
        fprintf(out, "  %-9s  %s\n", commands[c]->name, commands[c]->summary);
    }
    fprintf(out,
            "\n"
            "examples:\n"
            "  weir run --once examples/generator-to-stdout.yaml   fifty made-up records\n"
            "  weir check clicks.yaml                              every error, with its line\n"
            "  weir plan clicks.yaml                               how it will run\n"
            "  weir plugins inspect kinesis                        options of a plugin\n"
            "  weir status clicks                                  how a running pipeline does\n"
            "  weir stop clicks --savepoint before-upgrade         end it, ready to go on\n"
            "\n"
            "`weir COMMAND --help` says more; `weir --version` which weir this is.\n"
            "exit status: 0 ok, 1 failed at run time, 2 wrong usage, 78 bad configuration\n");
}

/* The command of that name; or NULL, and said so with the nearest one. */
static const command *find_command(const char *name) {
    weir_str names[COMMANDS];
    for (size_t c = 0; c < COMMANDS; c++) {
        names[c] = str_of(commands[c]->name);
        if (strcmp(name, commands[c]->name) == 0) return commands[c];
    }
    int near = str_nearest(str_of(name), names, COMMANDS);
    fprintf(stderr, "weir: unknown command '%s'%s%s%s\n  see: weir --help\n", name,
            near >= 0 ? "; did you mean '" : "", near >= 0 ? commands[near]->name : "",
            near >= 0 ? "'?" : "");
    return NULL;
}

/* Of weir-local only the program itself knows the options. */
static int tell_help(const command *c) {
    if (c == &command_local) return local_help();
    fputs(c->help, stdout);
    return EXIT_OK;
}

static int show_help(int argc, char **argv) {
    if (argc == 0) {
        help(stdout);
        return EXIT_OK;
    }
    const command *found = find_command(argv[0]);
    if (found == NULL) return EXIT_USAGE;
    if (argc > 1) return usage_error("help", "name one command, as in: weir help %s", argv[0]);
    return tell_help(found);
}

static int show_version(int argc, char **argv) {
    if (argc > 0) return usage_error("version", "unexpected word '%s'", argv[0]);
    printf("weir %s, plugin ABI %s\n", WEIR_VERSION, WEIR_ABI_TEXT);
    return EXIT_OK;
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) return false;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

/* A standard stream that was closed would leave its number to the next file weir opens, a state
 * file for instance, and whoever prints would print into it. The numbers are taken by /dev/null,
 * opened the wrong way round: reading from it or writing to it fails as it would on a closed one,
 * where writing that succeeds would lose records. */
static bool occupy_closed_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) continue;
        /* The lowest free number is given: those below are taken. Inherited by design. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
    }
    return true;
}

int main(int argc, char **argv) {
    if (!occupy_closed_streams()) return EXIT_FAILED;
    const char *spec = os_env("WEIR_LOG", false);
    if (spec != NULL && !log_configure(spec)) {
        fprintf(stderr, "weir: WEIR_LOG='%s' makes no sense: say info, or kinesis=debug,info\n",
                spec);
        return EXIT_USAGE;
    }
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    int count = argc - 2; /* words behind it */
    char **words = argv + 2;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return show_help(count, words);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        return show_version(count, words);
    }
    const command *found = find_command(name);
    if (found == NULL) return EXIT_USAGE;
    if (asks_for_help(count, words)) return tell_help(found);
    return found->run(count, words);
}
