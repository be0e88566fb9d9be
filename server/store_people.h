#pragma once
/*
 * People in the store: users as an administrator sees them, their sessions, second factors,
 * passkeys, OIDC identities and invitations (migrations/0003). Results and rules as store.h. What
 * identifies a secret is its hash (secrets_hash); nothing here holds one in clear.
 */
#include "server/store.h"

/* ---- users ---- */

struct store_person {
    struct store_user user;
    char display_name[128];
    struct wall created, last_seen; /* last_seen.s 0: never */
    int64_t nodes;
    bool has_password, has_totp;
    int64_t passkeys;
};

typedef void (*store_person_fn)(void *arg, const struct store_person *p);
int store_people_each(struct db *d, int64_t tailnet, store_person_fn fn, void *arg)
    MUST_CHECK; /* by login */
int store_person(struct db *d, struct slice stable_id, struct store_person *out) MUST_CHECK;
int store_person_by_id(struct db *d, int64_t id, struct store_person *out) MUST_CHECK;
/* Role, suspension and deletion move rights: store_policy.h has them. The one owner. */
int store_owner(struct db *d, int64_t tailnet, struct store_user *out) MUST_CHECK;
int store_user_set_approved(struct db *d, int64_t id, bool approved) MUST_CHECK;
int store_user_set_name(struct db *d, int64_t id, struct slice display_name) MUST_CHECK;
int store_user_seen(struct db *d, int64_t id) MUST_CHECK;
int store_password_clear(struct db *d, int64_t user) MUST_CHECK;

/* ---- sessions ---- */

struct store_session_new {
    int64_t user;
    struct slice hash, remote, agent;
    const char *method; /* password, passkey, oidc, setup, recovery */
};

struct store_session_row {
    int64_t id, user_id;
    char stable_id[STORE_ID_SIZE];
    char remote[64], agent[160], method[16];
    struct wall created, last_used, verified;
};

int store_session_open(struct db *d, const struct store_session_new *n, int64_t *out_id) MUST_CHECK;
int store_session_row(struct db *d, struct slice hash, struct store_session_row *out) MUST_CHECK;
/* Presence was proved anew (step-up): the id changes with it. */
int store_session_verified(struct db *d, int64_t id, struct slice new_hash) MUST_CHECK;
typedef void (*store_session_fn)(void *arg, const struct store_session_row *s);
int store_sessions_each(struct db *d, int64_t user, store_session_fn fn, void *arg) MUST_CHECK;
/* One of this user's, by its public id. */
int store_session_end(struct db *d, int64_t user, struct slice stable_id) MUST_CHECK;
/* All but one (0: all). */
int store_sessions_end(struct db *d, int64_t user, int64_t but) MUST_CHECK;
/* Those past their idle or absolute end; once a minute. */
int store_sessions_expire(struct db *d,
                          struct wall idle_before,
                          struct wall made_before) MUST_CHECK;

/* ---- passkeys ---- */

struct store_passkey {
    int64_t id, user_id;
    char stable_id[STORE_ID_SIZE];
    char name[64];
    int64_t algorithm, sign_count;
    struct wall created, last_used;
};

struct store_passkey_new {
    int64_t user;
    struct slice credential, public_key, name;
    int64_t algorithm, sign_count;
};

int store_passkey_add(struct db *d, const struct store_passkey_new *p) MUST_CHECK;
/* By credential id; the key's bytes go into out_key. */
int store_passkey(struct db *d,
                  struct slice credential,
                  struct store_passkey *out,
                  struct buf *out_key) MUST_CHECK;
typedef void (*store_passkey_fn)(void *arg, const struct store_passkey *p, struct slice credential);
int store_passkeys_each(struct db *d, int64_t user, store_passkey_fn fn, void *arg) MUST_CHECK;
int store_passkey_used(struct db *d, int64_t id, int64_t sign_count) MUST_CHECK;
int store_passkey_rename(struct db *d, int64_t user, struct slice stable_id, struct slice name)
    MUST_CHECK;
int store_passkey_delete(struct db *d, int64_t user, struct slice stable_id) MUST_CHECK;

/* ---- one-time codes and recovery codes ---- */

struct store_totp {
    bool confirmed;
    int64_t last_step;
};

int store_totp_set(struct db *d, int64_t user, struct slice sealed) MUST_CHECK; /* unconfirmed */
int store_totp(struct db *d, int64_t user, struct store_totp *out, struct buf *out_sealed)
    MUST_CHECK;
int store_totp_confirm(struct db *d, int64_t user, int64_t step) MUST_CHECK;
/* Takes a step: STORE_NONE when one as late was taken before. */
int store_totp_take(struct db *d, int64_t user, int64_t step) MUST_CHECK;
int store_totp_clear(struct db *d, int64_t user) MUST_CHECK;

/* Replaces what there was. */
int store_recovery_set(struct db *d, int64_t user, const struct slice *hashes, size_t count)
    MUST_CHECK;
/* Takes one, once: STORE_NONE when it is not this user's or was used. */
int store_recovery_take(struct db *d, int64_t user, struct slice hash) MUST_CHECK;
int64_t store_recovery_left(struct db *d, int64_t user);

/* ---- OIDC ---- */

/* Issuer and subject are the identity, never an e-mail address. */
int store_oidc_user(struct db *d, struct slice issuer, struct slice subject, int64_t *out_user)
    MUST_CHECK;
int store_oidc_link(struct db *d, int64_t user, struct slice issuer, struct slice subject)
    MUST_CHECK;
int store_oidc_used(struct db *d, struct slice issuer, struct slice subject) MUST_CHECK;

/* ---- invitations ---- */

struct store_invite {
    int64_t id;
    char stable_id[STORE_ID_SIZE];
    char login[STORE_NAME_SIZE], role[24], invited_by[STORE_NAME_SIZE];
    struct wall created, expires, sent, accepted; /* sent, accepted .s 0: not */
};

struct store_invite_new {
    int64_t tailnet, invited_by;
    struct slice login, hash;
    const char *role;
    struct wall expires;
};

int store_invite_create(struct db *d,
                        const struct store_invite_new *i,
                        char out_stable_id[STORE_ID_SIZE]) MUST_CHECK;
int store_invite(struct db *d, struct slice stable_id, struct store_invite *out) MUST_CHECK;
int store_invite_by_hash(struct db *d, struct slice hash, struct store_invite *out) MUST_CHECK;
typedef void (*store_invite_fn)(void *arg, const struct store_invite *i);
int store_invites_each(struct db *d, int64_t tailnet, store_invite_fn fn, void *arg)
    MUST_CHECK; /* open */
/* A new secret and a new end, as "resend" does. */
int store_invite_renew(struct db *d, int64_t id, struct slice hash, struct wall expires) MUST_CHECK;
/* STORE_NONE when it was accepted before. */
int store_invite_accept(struct db *d, int64_t id) MUST_CHECK;
int store_invite_delete(struct db *d, struct slice stable_id) MUST_CHECK;
