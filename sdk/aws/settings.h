/*
 * sdk/aws/settings.h - from options, environment and profile to what a client needs. Internal.
 *
 * Nothing here knows the host: `client.c` fills aws_options from the node's options, and tests fill
 * them by hand.
 */
#ifndef WEIR_AWS_SETTINGS_H
#define WEIR_AWS_SETTINGS_H

#include "profile.h"

/* As given; NULL, false or 0 = not given. */
typedef struct aws_options {
    const char *region, *endpoint;
    bool fips, dual_stack;
    /* The map `credentials`. */
    const char *provider; /* NULL = auto */
    const char *profile, *access_key_id, *secret_access_key, *session_token;
    const char *role_arn, *role_session_name, *external_id, *token_file, *sts_endpoint, *command;
    uint32_t duration_s;
    const struct aws_options *source; /* its `credentials` half: whose keys take the role */
} aws_options;

/* Why something could not be resolved. */
typedef struct aws_problem {
    weir_status status;
    const char *option; /* the option to look at, static; NULL = none */
    text words;
    text hint;
} aws_problem;
void aws_problem_free(aws_problem *p);

/* Where the region comes from: option, the resource's ARN, environment, profile. The result is
 * malloc'ed; NULL with `problem` filled. */
char *aws_region_resolve(const aws_options *o, const char *arn_region, const aws_env *env,
                         const aws_profiles *profiles, aws_problem *problem);

typedef struct aws_endpoint {
    char *url;          /* "https://kinesis.eu-west-1.amazonaws.com", no slash at the end */
    bool overridden;    /* by option, environment or profile */
    bool account_hosts; /* the partition has endpoints of single accounts */
} aws_endpoint;
bool aws_endpoint_resolve(aws_endpoint *out, const aws_options *o, const char *service,
                          const char *region, const aws_env *env, const aws_profiles *profiles,
                          aws_problem *problem);
void aws_endpoint_free(aws_endpoint *e);
/* "https://<account>.<plane>-<service>...": the account's own endpoint. malloc'ed, NULL without
 * memory. Only for an endpoint with account_hosts that is not overridden. */
char *aws_endpoint_of_account(const aws_options *o, const char *service, const char *region,
                              const char *account, const char *plane);

/* What of a URL is signed: the host without a default port, and the path. They point into `url`,
 * which has a path. */
void aws_url_parts(const char *url, weir_str *host, weir_str *path);

/* Whether fips or dual_stack hold, from option or environment. */
void aws_options_complete(aws_options *o, const aws_env *env);

#endif
