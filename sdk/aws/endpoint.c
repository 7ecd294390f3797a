#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

/* A partition: regions whose names begin alike share host name suffixes. The first match counts. */
typedef struct partition {
    const char *prefix;
    const char *suffix;
    const char *dual_suffix; /* NULL: no dual-stack endpoints */
    bool plain_fips;         /* the plain name is a FIPS endpoint already */
    bool account_hosts;
} partition;

static const partition partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", false, true},
    {"us-gov-", "amazonaws.com", "api.aws", true, true},
    {"us-isob-", "sc2s.sgov.gov", NULL, false, false},
    {"us-isof-", "csp.hci.ic.gov", NULL, false, false},
    {"us-iso-", "c2s.ic.gov", NULL, false, false},
    {"eu-isoe-", "cloud.adc-e.uk", NULL, false, false},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu", false, true},
    {"", "amazonaws.com", "api.aws", false, true},
};

#define REGION_MAX 40u

static bool no_memory(const aws_profiles *profiles, aws_problem *problem);
static const partition *partition_of(const char *region);
static const char *configured(const aws_options *o, const char *service, const aws_env *env,
                              const aws_profiles *profiles, const char **from);
static bool is_region(const char *region);
static bool is_url(const char *url);
static bool is_true(const char *value);
static char *host_url(const aws_options *o, const char *front, const char *service,
                      const char *region);
static char *dup_or_null(const char *z);

void aws_options_complete(aws_options *o, const aws_env *env) {
    o->fips = o->fips || is_true(aws_env_get(env, "AWS_USE_FIPS_ENDPOINT"));
    o->dual_stack = o->dual_stack || is_true(aws_env_get(env, "AWS_USE_DUALSTACK_ENDPOINT"));
}

char *aws_region_resolve(const aws_options *o, const char *arn_region, const aws_env *env,
                         const aws_profiles *profiles, aws_problem *problem) {
    const char *profile = o->profile ? o->profile : aws_profile_default(env);
    const char *region = o->region, *from = "option region";
    if (no_memory(profiles, problem)) return NULL;
    if (region && arn_region && strcmp(region, arn_region) != 0) {
        problem->status = WEIR_E_INVALID_ARG;
        problem->option = "region";
        text_add_f(&problem->words, "region is %.64s, but the ARN lies in %.64s", region,
                   arn_region);
        text_add_z(&problem->hint, "leave region out: the ARN says it");
        return NULL;
    }
    if (!region) region = arn_region, from = "the ARN";
    if (!region) region = aws_env_get(env, "AWS_REGION"), from = "AWS_REGION";
    if (!region) region = aws_env_get(env, "AWS_DEFAULT_REGION"), from = "AWS_DEFAULT_REGION";
    if (!region) region = aws_profile_get(profiles, profile, "region"), from = "the profile";
    if (!region) {
        problem->status = WEIR_E_INVALID_ARG;
        problem->option = "region";
        text_add_f(&problem->words,
                   "no AWS region found; tried the option region (not given), the environment "
                   "variables AWS_REGION and AWS_DEFAULT_REGION (not set), and region of profile "
                   "\"%.128s\" (not there)",
                   profile);
        text_add_z(&problem->hint, "set region in the manifest, for example eu-west-1");
        return NULL;
    }
    if (!is_region(region)) {
        problem->status = WEIR_E_INVALID_ARG;
        problem->option = "region";
        text_add_f(&problem->words, "\"%.64s\" from %s is not the name of a region", region, from);
        text_add_z(&problem->hint, "a region looks like eu-west-1");
        return NULL;
    }
    char *copy = strdup(region);
    if (!copy) problem->status = WEIR_E_NOMEM;
    return copy;
}

bool aws_endpoint_resolve(aws_endpoint *out, const aws_options *o, const char *service,
                          const char *region, const aws_env *env, const aws_profiles *profiles,
                          aws_problem *problem) {
    memset(out, 0, sizeof *out);
    if (no_memory(profiles, problem)) return false;
    const char *from = NULL;
    const char *given = configured(o, service, env, profiles, &from);
    const partition *p = partition_of(region);
    if (given) {
        if (!is_url(given)) {
            problem->status = WEIR_E_INVALID_ARG;
            problem->option = "endpoint";
            text_add_f(&problem->words, "\"%.256s\" from %s is not an endpoint URL", given, from);
            text_add_z(&problem->hint, "an endpoint looks like https://host or http://host:port");
            return false;
        }
        if (o->fips || o->dual_stack) {
            problem->status = WEIR_E_INVALID_ARG;
            problem->option = o->fips ? "fips" : "dual_stack";
            text_add_f(&problem->words, "%s cannot be combined with the endpoint from %s",
                       problem->option, from);
            text_add_z(&problem->hint, "they choose among the service's own endpoints; drop one");
            return false;
        }
        out->overridden = true;
        out->url = strdup(given);
        for (size_t n = out->url ? strlen(out->url) : 0; n > 0 && out->url[n - 1] == '/'; n--)
            out->url[n - 1] = '\0';
    } else {
        if (o->dual_stack && !p->dual_suffix) {
            problem->status = WEIR_E_INVALID_ARG;
            problem->option = "dual_stack";
            text_add_f(&problem->words, "region %s has no dual-stack endpoints", region);
            return false;
        }
        out->account_hosts = p->account_hosts;
        out->url = host_url(o, "", service, region);
    }
    if (!out->url) problem->status = WEIR_E_NOMEM;
    return out->url != NULL;
}

void aws_endpoint_free(aws_endpoint *e) {
    free(e->url);
    memset(e, 0, sizeof *e);
}

char *aws_endpoint_of_account(const aws_options *o, const char *service, const char *region,
                              const char *account, const char *plane) {
    char front[64];
    int n = snprintf(front, sizeof front, "%s.%s-", account, plane);
    if (n < 0 || (size_t)n >= sizeof front) return NULL;
    return host_url(o, front, service, region);
}

void aws_url_parts(const char *url, weir_str *host, weir_str *path) {
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    const char *slash = start + strcspn(start, "/");
    host->ptr = start;
    host->len = (uint64_t)(slash - start);
    path->ptr = slash;
    path->len = strlen(slash);
    const char *port = strncmp(url, "https", 5) == 0 ? ":443" : ":80";
    size_t n = strlen(port);
    if (host->len > n && memcmp(slash - n, port, n) == 0) host->len -= n;
}

static char *host_url(const aws_options *o, const char *front, const char *service,
                      const char *region) {
    const partition *p = partition_of(region);
    bool s3 = strcmp(service, "s3") == 0; /* has names of its own, and FIPS hosts in GovCloud too */
    bool fips = o->fips && (s3 || !(p->plain_fips && !o->dual_stack && !*front));
    text t = {0};
    if (s3 && o->dual_stack) {
        text_add_f(&t, "https://s3%s.dualstack.%s.%s", fips ? "-fips" : "", region, p->suffix);
        char *dual = dup_or_null(text_z(&t));
        text_free(&t);
        return dual;
    }
    text_add_f(&t, "https://%s%s%s.%s.%s", front, service, fips ? "-fips" : "", region,
               o->dual_stack ? p->dual_suffix : p->suffix);
    char *url = dup_or_null(text_z(&t));
    text_free(&t);
    return url;
}

static const partition *partition_of(const char *region) {
    const partition *p = partitions;
    while (strncmp(region, p->prefix, strlen(p->prefix)) != 0) p++;
    return p;
}

/* The vendor's tools name variables and sections by the id of a service, which for few differs from
 * the name in its host. */
static const char *service_id(const char *service) {
    return strcmp(service, "secretsmanager") == 0 ? "secrets_manager" : service;
}

static const char *configured(const aws_options *o, const char *service, const aws_env *env,
                              const aws_profiles *profiles, const char **from) {
    *from = "option endpoint";
    if (o->endpoint) return o->endpoint;
    if (is_true(aws_env_get(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))) return NULL;

    char name[128];
    snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", service_id(service));
    for (char *c = name; *c; c++)
        *c = (char)(*c == ' ' || *c == '-' ? '_' : toupper((unsigned char)*c));
    const char *url = aws_env_get(env, name);
    *from = "AWS_ENDPOINT_URL_<SERVICE>";
    if (url) return url;
    *from = "AWS_ENDPOINT_URL";
    url = aws_env_get(env, "AWS_ENDPOINT_URL");
    if (url) return url;

    *from = "the profile";
    const char *profile = o->profile ? o->profile : aws_profile_default(env);
    const char *services = aws_profile_get(profiles, profile, "services");
    if (services) {
        char section[160];
        snprintf(section, sizeof section, "services %.128s", services);
        snprintf(name, sizeof name, "%.64s.endpoint_url", service_id(service));
        url = aws_section_get(profiles, section, name);
        if (url) return url;
    }
    return aws_profile_get(profiles, profile, "endpoint_url");
}

/* Files that were read in part only: what is not in them may yet be in the rest. */
static bool no_memory(const aws_profiles *profiles, aws_problem *problem) {
    if (profiles->no_memory) problem->status = WEIR_E_NOMEM;
    return profiles->no_memory;
}

/* It becomes part of a host name and of the signature's scope. */
static bool is_region(const char *region) {
    size_t n = strlen(region);
    if (n == 0 || n > REGION_MAX || region[0] == '-' || region[n - 1] == '-') return false;
    for (size_t i = 0; i < n; i++)
        if (!(islower((unsigned char)region[i]) || isdigit((unsigned char)region[i]) ||
              region[i] == '-'))
            return false;
    return true;
}

static bool is_url(const char *url) {
    const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
                       : strncmp(url, "http://", 7) == 0 ? url + 7
                                                         : NULL;
    if (!host || *host == '\0' || *host == '/' || *host == ':') return false;
    for (const char *c = host; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '?' || *c == '#' || *c == '@') return false;
    return true;
}

static bool is_true(const char *value) {
    return value && (strcmp(value, "true") == 0 || strcmp(value, "True") == 0 ||
                     strcmp(value, "TRUE") == 0 || strcmp(value, "1") == 0);
}

static char *dup_or_null(const char *z) {
    return z ? strdup(z) : NULL;
}
