/* Commands of the operator: init, setup-link, key create. They work beside a running server: SQLite
 * arbitrates. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/base/text.h"
#include "migrations/migrations.h"
#include "server/app.h"

enum {
    SETUP_VALID_S = 3600,
    KEY_VALID_S = 90 * 86400,
    SETUP_CODE_CHARS = 26,
    EXIT_FAILED = 1,
    EXIT_CONFIG = 78
};

void app_fqdn(const struct app *a, const char *label, char out[TEXT_NAME_SIZE])
{
    text_fit(out, TEXT_NAME_SIZE, "%.63s.%.63s.%s", label, a->tailnet.name, a->cfg.zone);
}

void app_db_path(const struct app *a, char out[APP_PATH_SIZE])
{
    text_fit(out, APP_PATH_SIZE, "%s/control.db", a->cfg.state_dir);
}

int app_open_store(struct app *a, char *out_why, size_t why_size)
{
    char path[APP_PATH_SIZE];
    int rc = file_mkdirs(a->cfg.state_dir, 0700);
    if (rc < 0) {
        text_cut(out_why, why_size, "cannot make %s", a->cfg.state_dir);
        return err_trace(rc);
    }
    rc = secrets_open(&a->secrets, a->cfg.state_dir, out_why, why_size);
    if (rc < 0) {
        return err_trace(rc);
    }
    app_db_path(a, path);
    rc = db_open(path, DB_WRITER, out_why, why_size, &a->db);
    return rc < 0 ? err_trace(rc)
                  : db_migrate(a->db, migrations, migration_count, out_why, why_size);
}

/* Two words, as people say them: pango-lin style. 64 x 64 is enough for the one tailnet of an
 * installation. */
static void make_tailnet_name(char out[64])
{
    static const char *const first[] = {"amber",  "brisk", "calm",  "dapper", "early", "fern",
                                        "glad",   "hazel", "ivory", "jolly",  "kind",  "lunar",
                                        "mellow", "noble", "olive", "pango"};
    static const char *const second[] = {"badger", "crane", "dune",    "ember",   "finch", "grove",
                                         "heron",  "islet", "juniper", "kestrel", "lin",   "marten",
                                         "newt",   "otter", "pine",    "quail"};
    uint8_t r[2];
    secret_random(r, sizeof r);
    text_fit(out, 64, "%s-%s", first[r[0] % ARRAY_LEN(first)], second[r[1] % ARRAY_LEN(second)]);
}

/* ---- secrets to people: files, or the terminal once ---- */

struct handed {
    char name[32];
    char text[300]; /* an origin of 200 bytes and a code */
};

static int hand_out(const struct command_args *args, const struct handed *items, size_t count)
{
    AUTO(js_freep) struct js *j = js_object();
    for (size_t i = 0; i < count; i++) {
        char path[512];
        js_set_cstr(j, items[i].name, items[i].text);
        if (!args->out_dir) {
            continue;
        }
        if (strlen(args->out_dir) > CONF_STR_MAX) {
            return log_complain(EXIT_FAILED, "cannot write a secret", args->out_dir,
                                "choose a shorter --out-dir");
        }
        text_fit(path, sizeof path, "%s/%s", args->out_dir, items[i].name);
        if (file_mkdirs(args->out_dir, 0700) < 0 ||
            file_replace(path, 0600, slice_str(items[i].text)) < 0) {
            return log_complain(EXIT_FAILED, "cannot write a secret", path,
                                "choose another --out-dir");
        }
    }
    if (args->json && !args->out_dir) {
        struct buf out = BUF_MAX(64 * KIB);
        js_write(j, JS_PRETTY, &out);
        printf("%s\n", buf_cstr(&out));
        buf_deinit(&out);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (args->out_dir) {
            printf("%-12s %s/%s\n", items[i].name, args->out_dir, items[i].name);
        } else {
            printf("%-12s %s\n", items[i].name, items[i].text);
        }
    }
    return 0;
}

static int make_key(
    struct app *a, enum store_key_kind kind, int64_t user, bool reusable, char out[SECRET_SIZE])
{
    static const char *const prefixes[] = {"fnl-api-", "fnl-auth-", "fnl-enroll-"};
    uint8_t hash[STORE_HASH_SIZE];
    secrets_make(prefixes[kind], out);
    secrets_hash(&a->secrets, slice_str(out), hash);
    struct store_key_new k = {.kind = kind,
                              .hash = slice_of(hash, sizeof hash),
                              .tailnet = a->tailnet.id,
                              .user = user,
                              .reusable = reusable,
                              .expires = {wall_now().s + KEY_VALID_S}};
    return store_key_create(a->db, &k);
}

static int make_setup(struct app *a, int64_t user, struct handed *link, struct handed *code)
{
    char secret[SETUP_CODE_CHARS + 1];
    uint8_t hash[STORE_HASH_SIZE];
    secret_id(secret, SETUP_CODE_CHARS);
    secrets_hash(&a->secrets, slice_str(secret), hash);
    text_fit(link->name, sizeof link->name, "setup-link");
    text_fit(link->text, sizeof link->text, "%s/setup#%s", a->cfg.origin, secret);
    text_fit(code->name, sizeof code->name, "setup-code");
    text_fit(code->text, sizeof code->text, "%s", secret);
    return store_setup_create(a->db, user, slice_of(hash, sizeof hash), slice_of(hash, sizeof hash),
                              (struct wall){wall_now().s + SETUP_VALID_S});
}

/* ---- init ---- */

static int create_all(struct app *a, const char *owner, struct handed items[5])
{
    char name[64];
    int64_t user = 0;
    make_tailnet_name(name);
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    int rc = tx ? store_tailnet_create(a->db, slice_str(name), &a->tailnet.id) : -EIO;
    rc = rc ? rc : store_user_create(a->db, a->tailnet.id, slice_str(owner), "owner", &user);
    rc = rc ? rc : policy_state_first(a, owner);
    rc = rc ? rc : make_setup(a, user, &items[0], &items[1]);
    static const char *const names[] = {"api-key", "auth-key", "relay-key"};
    for (size_t i = 0; !rc && i < ARRAY_LEN(names); i++) {
        char secret[SECRET_SIZE];
        rc = make_key(a, (enum store_key_kind)i, i == STORE_KEY_RELAY ? 0 : user, false, secret);
        text_fit(items[2 + i].name, sizeof items[2 + i].name, "%s", names[i]);
        text_fit(items[2 + i].text, sizeof items[2 + i].text, "%s", secret);
        secret_wipe(secret, sizeof secret);
    }
    return rc ? rc : db_commit(&tx);
}

int command_init(struct app *a, const struct command_args *args)
{
    char why[300] = "";
    struct handed items[5];
    struct store_tailnet there;
    const char *owner = args->owner ? args->owner : "owner@localhost";
    if (app_open_store(a, why, sizeof why) < 0) {
        return log_complain(EXIT_CONFIG, "cannot open the store", why, "look at \"stateDir\"");
    }
    if (store_tailnet(a->db, &there) == 0) {
        return log_complain(
            EXIT_FAILED, "this installation is initialised already", there.name,
            "for a new link: funnel-control setup-link; for keys: funnel-control key create");
    }
    if (slice_find(slice_str(owner), '@') < 1 || !text_printable(slice_str(owner), 200)) {
        return log_complain(EXIT_CONFIG, "the owner's login is not usable", owner,
                            "--owner name@example.com");
    }
    if (create_all(a, owner, items)) {
        return log_complain(EXIT_FAILED, "nothing was created", db_error(a->db),
                            "look at the state directory");
    }
    if (store_tailnet(a->db, &there) == 0 && !args->json) {
        printf("tailnet      %s.%s\nowner        %s\n", there.name, a->cfg.zone, owner);
    }
    return hand_out(args, items, ARRAY_LEN(items));
}

static int open_existing(struct app *a, struct store_user *owner, const struct command_args *args)
{
    char why[300] = "";
    if (app_open_store(a, why, sizeof why) < 0 || store_tailnet(a->db, &a->tailnet)) {
        return log_complain(EXIT_CONFIG, "there is no installation here", why,
                            "run: funnel-control init");
    }
    int rc = args->owner ? store_user_by_login(a->db, slice_str(args->owner), owner)
                         : store_user_by_id(a->db, 1, owner);
    return rc ? log_complain(EXIT_FAILED, "no such user", args->owner ? args->owner : "the owner",
                             "--owner LOGIN")
              : 0;
}

/* Whoever can write the database may let a person in again; that it was done stays written down. */
static int audit_link(struct app *a, const struct store_user *user)
{
    struct actor by;
    actor_system(&by);
    by.origin = "CLI";
    text_fit(by.login, sizeof by.login, "operator");
    return audit_write(a, &by,
                       &(struct audit_entry){.action = "USER.RESET_LOGIN",
                                             .type = "USER",
                                             .id = user->stable_id,
                                             .name = user->login});
}

int command_setup_link(struct app *a, const struct command_args *args)
{
    struct handed items[2];
    struct store_user user = {0};
    int rc = open_existing(a, &user, args);
    if (rc) {
        return rc;
    }
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    if (!tx || make_setup(a, user.id, &items[0], &items[1]) || audit_link(a, &user) ||
        db_commit(&tx)) {
        return log_complain(EXIT_FAILED, "no link was made", db_error(a->db), "try again");
    }
    return hand_out(args, items, ARRAY_LEN(items));
}

int command_key_create(struct app *a, const struct command_args *args)
{
    static const char *const kinds[] = {"api", "auth", "relay"};
    struct handed item;
    struct store_user user = {0};
    size_t kind = 0;
    while (kind < ARRAY_LEN(kinds) && (!args->kind || strcmp(kinds[kind], args->kind) != 0)) {
        kind++;
    }
    if (kind == ARRAY_LEN(kinds)) {
        return log_complain(EXIT_CONFIG, "which kind of key?",
                            args->kind ? args->kind : "none given", "api, auth or relay");
    }
    int rc = open_existing(a, &user, args);
    if (rc) {
        return rc;
    }
    text_fit(item.name, sizeof item.name, "%s-key", kinds[kind]);
    char secret[SECRET_SIZE];
    AUTO(db_tx_endp) struct db_tx *tx = db_begin(a->db);
    rc = tx ? make_key(a, (enum store_key_kind)kind, kind == STORE_KEY_RELAY ? 0 : user.id,
                       args->reusable, secret)
            : -EIO;
    if (rc || db_commit(&tx)) {
        return log_complain(EXIT_FAILED, "no key was made", db_error(a->db), "try again");
    }
    text_fit(item.text, sizeof item.text, "%s", secret);
    return hand_out(args, &item, 1);
}
