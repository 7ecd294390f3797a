#include "pipes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

pipe_of pipe_load(const char *text) {
    pipe_of p = {0};
    setenv("WEIR_PLUGIN_PATH", PLUGIN_DIRS, 1);
    p.plugins = registry_new();
    p.memory = arena_new(64 << 20);
    p.diags = diags_new();
    registry_scan(p.plugins);
    buf whole;
    buf_init(&whole, 1 << 20);
    buf_printf(&whole, "weir: 1\nname: t\n%s", text);
    manifest_input input = {.path = "/tmp/m.yaml"};
    p.pipeline = manifest_load_text(&input, buf_str(&whole), p.plugins, p.memory, p.diags);
    buf_free(&whole);
    if (p.pipeline == NULL) {
        diags_print(p.diags, stderr);
        fail_msg("the manifest was refused");
    }
    p.plan = plan_make(p.pipeline, p.memory, p.diags);
    return p;
}

void pipe_free(pipe_of *p) {
    diags_free(p->diags);
    arena_free(p->memory);
    registry_free(p->plugins);
}

const node *pipe_node(const pipe_of *p, const char *name) {
    for (size_t i = 0; i < p->pipeline->node_count; i++) {
        if (str_eq_z(p->pipeline->nodes[i]->name, name)) return p->pipeline->nodes[i];
    }
    fail_msg("no node %s", name);
    return NULL;
}

const plan_stage *pipe_stage(const pipe_of *p, const char *name) {
    assert_non_null(p->plan);
    for (size_t s = 0; s < p->plan->stage_count; s++) {
        if (str_eq_z(p->plan->stages[s]->node->name, name)) return p->plan->stages[s];
    }
    fail_msg("no stage %s", name);
    return NULL;
}
