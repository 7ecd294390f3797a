/*
 * sdk/aws/profile.h - the shared AWS files: ~/.aws/config and ~/.aws/credentials. Internal.
 *
 * Both are read once, whole; what they held is wiped when the profiles go. The environment comes
 * through a function, so that tests own it.
 */
#ifndef WEIR_AWS_PROFILE_H
#define WEIR_AWS_PROFILE_H

#include "text.h"

typedef struct aws_env {
    const char *(*get)(void *opaque, const char *name); /* NULL if not set or empty */
    void *opaque;
} aws_env;

/* The process's own environment. */
aws_env aws_env_process(void);
const char *aws_env_get(const aws_env *env, const char *name);

typedef enum { AWS_FILE_READ, AWS_FILE_ABSENT, AWS_FILE_UNREADABLE, AWS_FILE_MALFORMED } file_state;

typedef struct aws_setting {
    char *section; /* "default", "profile x" in config; "x" in credentials; "services s" */
    char *key;     /* lower case; a nested line is "parent.key" */
    char *value;
    bool in_credentials;
} aws_setting;

typedef struct aws_profiles {
    char *config_path, *credentials_path;
    file_state config_state, credentials_state;
    aws_setting *settings;
    size_t count, capacity;
    bool no_memory;
} aws_profiles;

/* Never fails as a whole: what happened to each file stands in its state. */
void aws_profiles_load(aws_profiles *p, const aws_env *env);
void aws_profiles_free(aws_profiles *p);
/* The text of one INI file. */
file_state aws_profiles_parse(aws_profiles *p, weir_str bytes, bool credentials);
/* A setting of a profile, NULL if there is none; a key of the credentials file wins. */
const char *aws_profile_get(const aws_profiles *p, const char *profile, const char *key);
bool aws_profile_exists(const aws_profiles *p, const char *profile);
/* A setting of another section, such as "services local". */
const char *aws_section_get(const aws_profiles *p, const char *section, const char *key);
/* The profile to use when the manifest names none. */
const char *aws_profile_default(const aws_env *env);
const char *aws_file_state_text(file_state state);

#endif
