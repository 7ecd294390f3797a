/*
 * tests/unit/runtime/pipes.h - pipelines out of a text, with the plugins of the build tree.
 */
#ifndef TEST_RUNTIME_PIPES_H
#define TEST_RUNTIME_PIPES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/plan.h"

typedef struct pipe_of {
    registry *plugins;
    arena *memory;
    diags *diags;
    const pipeline *pipeline;
    const plan *plan; /* NULL if the plan was refused */
} pipe_of;

/* The manifest is "weir: 1\nname: t\n" and `text`; it must load, the plan may be refused. */
pipe_of pipe_load(const char *text);
void pipe_free(pipe_of *p);
const node *pipe_node(const pipe_of *p, const char *name);
const plan_stage *pipe_stage(const pipe_of *p, const char *name);

#endif
