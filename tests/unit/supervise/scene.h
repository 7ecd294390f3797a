/*
 * A supervisor in a process of its own, with real workers, and what they say.
 *
 * Workers are functions of the test; they tell what they do with scene_say, the test waits for it
 * with scene_expect. Nothing here measures time: waits end with the event or after a minute, which
 * is a failure.
 */
#ifndef WEIR_TEST_SCENE_H
#define WEIR_TEST_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "supervise/supervisor.h"

#define MS CLOCK_NS_PER_MS
#define HOUR (3600 * CLOCK_NS_PER_S)

typedef struct scene {
    char dir[64];      /* the state; pipelines have folders below it */
    char a_dir[80];    /* folder of the first pipeline */
    char err_file[96]; /* standard error of the supervisor and its workers */
    int said_in, said_out;
    supervised pipes[2];
    supervisor_config config;
    pid_t supervisor;
    char heard[8192]; /* bytes that came and are not expected yet */
    size_t heard_len;
    int mode; /* for workers that do several things */
} scene;

typedef int (*scene_work)(void *opaque, worker_link *link, uint32_t attempt);

/* One pipeline "a" that does `work`; restarts after 1 ms without end. */
void scene_begin(scene *s, scene_work work);
/* A second one, "b". */
void scene_add(scene *s, scene_work work);
void scene_start(scene *s);
/* Waits until the supervisor ends; its exit status, or -signal. */
int scene_wait(scene *s);
void scene_end(scene *s); /* removes everything */

/* In a worker: one line. */
void scene_say(scene *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In the test: the next line, whatever it is; false when nobody is left to say one. */
bool scene_hear(scene *s, char *line, size_t size);
/* The next line is this one. */
void scene_expect(scene *s, const char *line);
/* Nothing more is said, and nobody is left who could. */
void scene_expect_silence(scene *s);
/* True if standard error holds `text`. */
bool scene_logged(scene *s, const char *text);

/* In a worker: until a drain is asked for. */
void scene_await_drain(worker_link *link, wake *w);
/* In a worker: the next request. */
link_request *scene_await_request(worker_link *link, wake *w);

#endif
