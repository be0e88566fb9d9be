/* Bounded children: what they did, and what kept them from starting. */
#include <errno.h>

#include "lib/io/proc.h"
#include "tests/unit/support/test.h"

struct ended {
    struct loop *lp;
    int code, times;
    bool timed_out;
    char text[64];
};

static void on_done(void *arg, int exit_code, bool timed_out, struct slice err_text)
{
    struct ended *e = arg;
    e->code = exit_code;
    e->timed_out = timed_out;
    e->times++;
    assert_true(slice_copy(err_text, e->text, sizeof e->text));
    loop_stop(e->lp);
}

static int run(const struct proc_opts *o, struct ended *e)
{
    struct proc *p = NULL;
    *e = (struct ended){.lp = loop_new()};
    int rc = proc_start(e->lp, o, on_done, e, &p);
    if (!rc) {
        assert_int_equal(loop_run(e->lp), 0);
        assert_int_equal(e->times, 1);
    }
    loop_free(e->lp);
    return rc;
}

static void what_it_did(void **state)
{
    (void)state;
    struct ended e;
    const char *argv[] = {"/bin/sh", "-c", "echo away >&2; exit 7", NULL};
    assert_int_equal(
        run(&(struct proc_opts){.argv = argv, .deadline_ns = SECONDS(20), .stderr_max = 60}, &e),
        0);
    assert_int_equal(e.code, 7);
    assert_false(e.timed_out);
    assert_string_equal(e.text, "away\n");
}

static void a_deadline_ends_it(void **state)
{
    (void)state;
    struct ended e;
    const char *argv[] = {"/bin/sh", "-c", "sleep 60", NULL};
    assert_int_equal(
        run(&(struct proc_opts){.argv = argv, .deadline_ns = MS(50), .stderr_max = 60}, &e), 0);
    assert_true(e.timed_out);
    assert_true(e.code < 0);
}

/* Before exec and by exec: the caller hears the cause, not a code that says nothing. */
static void what_kept_it(void **state)
{
    (void)state;
    struct ended e;
    const char *argv[] = {"/bin/true", NULL}, *none[] = {"/nonexistent/program", NULL};
    struct proc_opts o = {.argv = none, .deadline_ns = SECONDS(20), .stderr_max = 60};
    assert_int_equal(run(&o, &e), -ENOENT);
    o = (struct proc_opts){
        .argv = argv, .cwd = "/nonexistent", .deadline_ns = SECONDS(20), .stderr_max = 60};
    assert_int_equal(run(&o, &e), -ENOENT);
    o.cwd = "/dev/null";
    assert_int_equal(run(&o, &e), -ENOTDIR);
    o.cwd = "/";
    assert_int_equal(run(&o, &e), 0);
    assert_int_equal(e.code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_did),
        cmocka_unit_test(a_deadline_ends_it),
        cmocka_unit_test(what_kept_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
