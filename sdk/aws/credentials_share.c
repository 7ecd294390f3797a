/*
 * Keys that clients of one process share. A share lives as long as a client uses it; the list of
 * shares and everything in them stands under one lock, which is held for copies of a few strings.
 *
 *      published            due                     over
 *   -------|-----------------|------------------------|--------> time
 *          |  all use them   | one gets new ones,     | everybody waits for
 *          |                 | the others go on       | the one who gets new ones
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "credentials.h"

#define SECOND_US 1000000LL
/* New keys are asked for this long before the end, or in the last third of a short life. */
#define AHEAD_US (900 * SECOND_US)
/* Keys are not used in their last moments: a request takes time, and clocks differ. */
#define MARGIN_US (30 * SECOND_US)
/* A client gets keys only while it is driven. One that stopped in the middle, for want of calls of
 * its own, must not keep the others from them: after this long the next one begins. */
#define TURN_US (15 * SECOND_US)
#define PAUSE_MAX_US (60 * SECOND_US) /* between attempts that failed ahead of need */

struct aws_share {
    aws_share *next;
    char fingerprint[WEIR_AWS_HASH_SIZE];
    aws_member *members;
    aws_member *refresher; /* who gets new keys now; NULL = nobody */
    int64_t turn_us;       /* since when */
    aws_identity keys;
    uint64_t version;        /* 0 = there never were any */
    int64_t due_us, over_us; /* see above */
    int64_t not_before_us;   /* after a failure */
    uint32_t failures_in_row;
    uint64_t failures;
    aws_problem problem; /* of the last failure */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static aws_share *shares;

static void wake_others(const aws_share *s, const aws_member *but);
static int64_t smaller(int64_t a, int64_t b);

aws_share *aws_share_join(const char fingerprint[WEIR_AWS_HASH_SIZE], aws_member *member) {
    pthread_mutex_lock(&lock);
    aws_share *s = shares;
    while (s && strcmp(s->fingerprint, fingerprint) != 0) s = s->next;
    if (!s) {
        s = calloc(1, sizeof *s);
        if (s) {
            memcpy(s->fingerprint, fingerprint, WEIR_AWS_HASH_SIZE);
            s->next = shares;
            shares = s;
        }
    }
    if (s) {
        member->next = s->members;
        s->members = member;
    }
    pthread_mutex_unlock(&lock);
    return s;
}

void aws_share_leave(aws_share *share, aws_member *member) {
    pthread_mutex_lock(&lock);
    for (aws_member **m = &share->members; *m; m = &(*m)->next) {
        if (*m != member) continue;
        *m = member->next;
        break;
    }
    if (share->refresher == member) {
        share->refresher = NULL;
        wake_others(share, member);
    }
    if (!share->members) {
        aws_share **at = &shares;
        while (*at != share) at = &(*at)->next;
        *at = share->next;
        aws_identity_free(&share->keys);
        aws_problem_free(&share->problem);
        free(share);
    }
    pthread_mutex_unlock(&lock);
}

aws_look aws_share_look(aws_share *s, aws_member *member, int64_t now_us, bool want) {
    pthread_mutex_lock(&lock);
    aws_look look = {.usable = s->version != 0 && now_us < s->over_us,
                     .version = s->version,
                     .failures = s->failures};
    bool due = s->version == 0 || now_us >= s->due_us;
    bool may = !look.usable || now_us >= s->not_before_us;
    /* Clocks of clients differ by their corrections: a turn from the future is an old one too. */
    int64_t age = now_us - s->turn_us;
    bool taken = s->refresher && (s->refresher == member || (age < TURN_US && age > -TURN_US));
    if (want && due && may && !taken) {
        s->refresher = member;
        s->turn_us = now_us;
        look.your_turn = true;
    }
    pthread_mutex_unlock(&lock);
    return look;
}

bool aws_share_copy(aws_share *s, aws_identity *out, uint64_t *version) {
    pthread_mutex_lock(&lock);
    *version = s->version;
    bool ok = s->version != 0 && aws_identity_copy(out, &s->keys);
    pthread_mutex_unlock(&lock);
    return ok;
}

void aws_share_publish(aws_share *s, aws_member *member, aws_identity *keys, int64_t now_us,
                       uint64_t random) {
    pthread_mutex_lock(&lock);
    aws_identity_free(&s->keys);
    s->keys = *keys;
    memset(keys, 0, sizeof *keys);
    s->version++;
    s->due_us = s->over_us = NEVER_US;
    if (s->keys.expires_us != NEVER_US) {
        int64_t life = s->keys.expires_us - now_us;
        if (life < 0) life = 0;
        int64_t ahead = smaller(AHEAD_US, life / 3);
        s->over_us = s->keys.expires_us - smaller(MARGIN_US, life / 20);
        /* A tenth of it earlier, at random: not all processes of a fleet at once. */
        s->due_us = s->keys.expires_us - ahead - (int64_t)(random % (uint64_t)(ahead / 10 + 1));
    }
    s->not_before_us = 0;
    s->failures_in_row = 0;
    if (s->refresher == member) s->refresher = NULL;
    wake_others(s, member);
    pthread_mutex_unlock(&lock);
}

void aws_share_fail(aws_share *s, aws_member *member, const aws_problem *problem, int64_t now_us) {
    pthread_mutex_lock(&lock);
    s->failures++;
    if (s->failures_in_row < 6) s->failures_in_row++;
    s->not_before_us = now_us + smaller(PAUSE_MAX_US, SECOND_US << (s->failures_in_row - 1));
    aws_problem_free(&s->problem);
    s->problem.status = problem->status;
    text_add_str(&s->problem.words, text_str(&problem->words));
    text_add_str(&s->problem.hint, text_str(&problem->hint));
    if (s->refresher == member) s->refresher = NULL;
    wake_others(s, member);
    pthread_mutex_unlock(&lock);
}

void aws_share_give_up(aws_share *s, aws_member *member) {
    pthread_mutex_lock(&lock);
    if (s->refresher == member) {
        s->refresher = NULL;
        wake_others(s, member);
    }
    pthread_mutex_unlock(&lock);
}

void aws_share_expire(aws_share *s, uint64_t version) {
    pthread_mutex_lock(&lock);
    if (s->version == version) s->due_us = s->over_us = INT64_MIN;
    pthread_mutex_unlock(&lock);
}

weir_status aws_share_problem(aws_share *s, text *words, text *hint) {
    pthread_mutex_lock(&lock);
    weir_status status = s->problem.status;
    text_add_str(words, text_str(&s->problem.words));
    text_add_str(hint, text_str(&s->problem.hint));
    pthread_mutex_unlock(&lock);
    return status;
}

static void wake_others(const aws_share *s, const aws_member *but) {
    for (aws_member *m = s->members; m; m = m->next)
        if (m != but) m->wake(m->opaque);
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
