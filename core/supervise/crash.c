#include "supervise/crash.h"

void crash_name_object(const char *path, const char *plugin) {
    (void)path;
    (void)plugin;
}
weir_status crash_install(const char *folder, const char *pipeline, weir_error *err) {
    (void)folder;
    (void)pipeline;
    (void)err;
    return WEIR_OK;
}
void crash_thread(const char *name) {
    (void)name;
}
void crash_thread_end(void) {
}
