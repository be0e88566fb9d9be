/* People in the store: what one person's rows do, and that another's are never touched. */
#include <errno.h>

#include "server/store_people.h"
#include "server/store_policy.h"
#include "tests/unit/support/store.h"

#define TX(d) AUTO(db_tx_endp) struct db_tx *tx = db_begin(d)

struct people {
    int64_t tailnet, ann, bob;
};

static struct people two_people(struct db *d)
{
    struct people p;
    TX(d);
    assert_int_equal(store_tailnet_create(d, S("pango-lin"), &p.tailnet), 0);
    assert_int_equal(store_user_create(d, p.tailnet, S("ann@example.com"), "owner", &p.ann), 0);
    assert_int_equal(store_user_create(d, p.tailnet, S("bob@example.com"), "member", &p.bob), 0);
    assert_int_equal(db_commit(&tx), 0);
    return p;
}

static struct slice hash_of(char c)
{
    static char bytes[8][STORE_HASH_SIZE];
    static size_t next;
    char *p = bytes[next++ % 8];
    memset(p, c, STORE_HASH_SIZE);
    return slice_of(p, STORE_HASH_SIZE);
}

static int64_t a_node(struct db *d, int64_t tailnet, int64_t user, const char *label, char salt)
{
    struct store_node n = {.user_id = user};
    int64_t id = 0;
    snprintf(n.label, sizeof n.label, "%s", label);
    snprintf(n.stable_id, sizeof n.stable_id, "node-%s", label);
    snprintf(n.ipv4, sizeof n.ipv4, "100.64.0.%d", salt);
    snprintf(n.ipv6, sizeof n.ipv6, "fd7a:115c:a1e0::%d", salt);
    memset(n.transport_key, salt, 64);
    assert_int_equal(store_node_create(d, tailnet, &n, hash_of(salt), &id), 0);
    return id;
}

static void count_person(void *arg, const struct store_person *p)
{
    (void)p;
    ++*(int *)arg;
}

static void a_person_is_read_whole(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    struct store_person p;
    struct store_user owner;
    int n = 0;
    TX(d);
    a_node(d, at.tailnet, at.bob, "bobs", 3);
    assert_int_equal(store_password_set(d, at.bob, S("encoded")), 0);
    assert_int_equal(store_user_set_name(d, at.bob, S("Bob")), 0);
    assert_int_equal(store_user_role(d, at.bob, "auditor"), 0);
    assert_int_equal(store_user_suspend(d, at.bob, true), 0);
    assert_int_equal(store_user_set_approved(d, at.bob, false), 0);
    assert_int_equal(store_user_seen(d, at.bob), 0);
    assert_int_equal(store_person_by_id(d, at.bob, &p), 0);
    assert_string_equal(p.display_name, "Bob");
    assert_string_equal(p.user.role, "auditor");
    assert_true(p.user.suspended && !p.user.approved && p.has_password && !p.has_totp);
    assert_int_equal(p.nodes, 1);
    assert_true(p.last_seen.s >= p.created.s);
    struct store_person same;
    assert_int_equal(store_person(d, slice_str(p.user.stable_id), &same), 0);
    assert_int_equal(same.user.id, at.bob);
    assert_int_equal(store_people_each(d, at.tailnet, count_person, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_owner(d, at.tailnet, &owner), 0);
    assert_int_equal(owner.id, at.ann);
    assert_int_equal(store_user_role(d, 999, "member"), STORE_NONE);
    assert_int_equal(store_user_role(d, at.bob, "king"), -EINVAL);
    assert_int_equal(store_person(d, S("nobody"), &same), STORE_NONE);
}

static void a_deleted_user_takes_what_is_theirs_only(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    struct store_node n;
    struct store_session_row row;
    int64_t id;
    TX(d);
    int64_t anns = a_node(d, at.tailnet, at.ann, "anns", 4);
    int64_t bobs = a_node(d, at.tailnet, at.bob, "bobs", 5);
    assert_int_equal(
        store_session_open(
            d,
            &(struct store_session_new){.user = at.bob, .hash = hash_of('s'), .method = "password"},
            &id),
        0);
    assert_int_equal(store_user_delete(d, at.bob), 0);
    assert_int_equal(store_node(d, bobs, &n), STORE_NONE);
    assert_int_equal(store_node(d, anns, &n), 0);
    assert_int_equal(store_session_row(d, hash_of('s'), &row), STORE_NONE);
    assert_int_equal(store_user_delete(d, at.bob), STORE_NONE);
}

static void count_session(void *arg, const struct store_session_row *s)
{
    assert_true(s->stable_id[0] != '\0');
    ++*(int *)arg;
}

static int64_t open_session(struct db *d, int64_t user, char c)
{
    int64_t id = 0;
    struct store_session_new n = {.user = user,
                                  .hash = hash_of(c),
                                  .remote = S("198.51.100.7"),
                                  .agent = S("Firefox"),
                                  .method = "passkey"};
    assert_int_equal(store_session_open(d, &n, &id), 0);
    return id;
}

static void sessions_are_listed_renewed_and_ended(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    struct store_session_row row, other;
    int n = 0;
    TX(d);
    int64_t first = open_session(d, at.ann, 'a');
    open_session(d, at.ann, 'b');
    open_session(d, at.bob, 'c');
    assert_int_equal(store_session_row(d, hash_of('a'), &row), 0);
    assert_string_equal(row.agent, "Firefox");
    assert_string_equal(row.method, "passkey");
    assert_int_equal(store_session_verified(d, first, hash_of('x')), 0);
    assert_int_equal(store_session_row(d, hash_of('a'), &row), STORE_NONE);
    assert_int_equal(store_session_row(d, hash_of('x'), &row), 0);
    assert_int_equal(store_session_row(d, hash_of('c'), &other), 0);
    /* Not by another's id. */
    assert_int_equal(store_session_end(d, at.ann, slice_str(other.stable_id)), STORE_NONE);
    assert_int_equal(store_sessions_end(d, at.ann, first), 0);
    assert_int_equal(store_sessions_each(d, at.ann, count_session, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(store_session_end(d, at.ann, slice_str(row.stable_id)), 0);
    n = 0;
    assert_int_equal(store_sessions_each(d, at.bob, count_session, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(store_sessions_expire(d, (struct wall){0}, (struct wall){0}), 0);
    assert_int_equal(store_sessions_each(d, at.bob, count_session, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_sessions_expire(d, (struct wall){wall_now().s + 1}, (struct wall){0}),
                     0);
    assert_int_equal(store_sessions_each(d, at.bob, count_session, &n), 0);
    assert_int_equal(n, 2);
}

static void count_passkey(void *arg, const struct store_passkey *p, struct slice credential)
{
    assert_int_equal(p->algorithm, -7);
    assert_true(slice_eq(credential, S("id-1")));
    ++*(int *)arg;
}

static void passkeys_belong_to_one_person(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    struct store_passkey p;
    struct buf key = BUF_MAX(64), small = BUF_MAX(2);
    struct store_passkey_new n = {.user = at.ann,
                                  .credential = S("id-1"),
                                  .public_key = S("public"),
                                  .name = S("Ann's phone"),
                                  .algorithm = -7,
                                  .sign_count = 3};
    int count = 0;
    TX(d);
    assert_int_equal(store_passkey_add(d, &n), 0);
    n.user = at.bob;
    assert_int_equal(store_passkey_add(d, &n), STORE_CONFLICT);
    n.credential = S("id-2");
    n.algorithm = 5;
    assert_int_equal(store_passkey_add(d, &n), -EINVAL);
    assert_int_equal(store_passkey(d, S("id-1"), &p, &small), -EMSGSIZE);
    assert_int_equal(store_passkey(d, S("id-1"), &p, &key), 0);
    assert_true(slice_eq(buf_slice(&key), S("public")));
    assert_true(p.user_id == at.ann && p.sign_count == 3 && p.last_used.s == 0);
    assert_int_equal(store_passkey_used(d, p.id, 9), 0);
    assert_int_equal(store_passkey_rename(d, at.ann, slice_str(p.stable_id), S("phone")), 0);
    assert_int_equal(store_passkey_delete(d, at.bob, slice_str(p.stable_id)), STORE_NONE);
    buf_clear(&key);
    assert_int_equal(store_passkey(d, S("id-1"), &p, &key), 0);
    assert_true(p.sign_count == 9 && p.last_used.s > 0);
    assert_string_equal(p.name, "phone");
    assert_int_equal(store_passkeys_each(d, at.ann, count_passkey, &count), 0);
    assert_int_equal(store_passkeys_each(d, at.bob, count_passkey, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(store_passkey_delete(d, at.ann, slice_str(p.stable_id)), 0);
    assert_int_equal(store_passkey(d, S("id-1"), &p, &key), STORE_NONE);
    buf_deinit(&key);
    buf_deinit(&small);
}

static void codes_are_taken_once(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    struct store_totp t;
    struct buf sealed = BUF_MAX(64);
    struct slice codes[] = {hash_of('1'), hash_of('2')};
    TX(d);
    assert_int_equal(store_totp(d, at.ann, &t, &sealed), STORE_NONE);
    assert_int_equal(store_totp_set(d, at.ann, S("sealed")), 0);
    assert_int_equal(store_totp(d, at.ann, &t, &sealed), 0);
    assert_false(t.confirmed);
    assert_int_equal(store_totp_confirm(d, at.ann, 100), 0);
    assert_int_equal(store_totp_take(d, at.ann, 100), STORE_NONE);
    assert_int_equal(store_totp_take(d, at.ann, 101), 0);
    assert_int_equal(store_totp_take(d, at.ann, 101), STORE_NONE);
    assert_int_equal(store_totp_clear(d, at.ann), 0);
    assert_int_equal(store_totp_clear(d, at.ann), STORE_NONE);
    assert_int_equal(store_recovery_set(d, at.ann, codes, 2), 0);
    assert_int_equal(store_recovery_left(d, at.ann), 2);
    assert_int_equal(store_recovery_take(d, at.bob, codes[0]), STORE_NONE);
    assert_int_equal(store_recovery_take(d, at.ann, codes[0]), 0);
    assert_int_equal(store_recovery_take(d, at.ann, codes[0]), STORE_NONE);
    assert_int_equal(store_recovery_left(d, at.ann), 1);
    codes[0] = hash_of('3');
    assert_int_equal(store_recovery_set(d, at.ann, codes, 1), 0);
    assert_int_equal(store_recovery_take(d, at.ann, codes[1]), STORE_NONE);
    buf_deinit(&sealed);
}

static void an_issuer_and_a_subject_are_one_person(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    int64_t who = 0;
    TX(d);
    assert_int_equal(store_oidc_user(d, S("https://idp"), S("7"), &who), STORE_NONE);
    assert_int_equal(store_oidc_link(d, at.bob, S("https://idp"), S("7")), 0);
    assert_int_equal(store_oidc_link(d, at.ann, S("https://idp"), S("7")), STORE_CONFLICT);
    assert_int_equal(store_oidc_user(d, S("https://idp"), S("7"), &who), 0);
    assert_int_equal(who, at.bob);
    assert_int_equal(store_oidc_user(d, S("https://other"), S("7"), &who), STORE_NONE);
    assert_int_equal(store_oidc_used(d, S("https://idp"), S("7")), 0);
    assert_int_equal(store_oidc_used(d, S("https://idp"), S("8")), STORE_NONE);
}

static void count_invite(void *arg, const struct store_invite *i)
{
    (void)i;
    ++*(int *)arg;
}

static void an_invitation_is_accepted_once(void **state)
{
    struct db *d = ((struct store_world *)*state)->db;
    struct people at = two_people(d);
    struct store_invite i;
    char id[STORE_ID_SIZE];
    int n = 0;
    struct store_invite_new new = {.tailnet = at.tailnet,
                                   .invited_by = at.ann,
                                   .login = S("cy@example.com"),
                                   .hash = hash_of('i'),
                                   .role = "member",
                                   .expires = {wall_now().s + 60}};
    TX(d);
    assert_int_equal(store_invite_create(d, &new, id), 0);
    new.hash = hash_of('k');
    new.role = "owner"; /* there is one, and it is handed over */
    char unused[STORE_ID_SIZE];
    assert_int_equal(store_invite_create(d, &new, unused), -EINVAL);
    assert_int_equal(store_invite(d, slice_str(id), &i), 0);
    assert_string_equal(i.invited_by, "ann@example.com");
    assert_int_equal(i.sent.s, 0);
    assert_int_equal(store_invite_renew(d, i.id, hash_of('j'), (struct wall){5}), 0);
    assert_int_equal(store_invite_by_hash(d, hash_of('i'), &i), STORE_NONE);
    assert_int_equal(store_invite_by_hash(d, hash_of('j'), &i), 0);
    assert_true(i.expires.s == 5 && i.sent.s > 0);
    assert_int_equal(store_invites_each(d, at.tailnet, count_invite, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(store_invite_accept(d, i.id), 0);
    assert_int_equal(store_invite_accept(d, i.id), STORE_NONE);
    assert_int_equal(store_invite_renew(d, i.id, hash_of('l'), (struct wall){6}), STORE_NONE);
    assert_int_equal(store_invite_delete(d, slice_str(id)), STORE_NONE);
    assert_int_equal(store_invites_each(d, at.tailnet, count_invite, &n), 0);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_STORE(a_person_is_read_whole),
        IN_A_STORE(a_deleted_user_takes_what_is_theirs_only),
        IN_A_STORE(sessions_are_listed_renewed_and_ended),
        IN_A_STORE(passkeys_belong_to_one_person),
        IN_A_STORE(codes_are_taken_once),
        IN_A_STORE(an_issuer_and_a_subject_are_one_person),
        IN_A_STORE(an_invitation_is_accepted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
