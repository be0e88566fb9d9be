"""funnelctl as people and their CI use it: on files without anything else, and against a control server on loopback."""
import json
import os
import subprocess

import pytest

import test_loopback
from cluster import BIN

pytestmark = pytest.mark.loopback

PLAIN = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CLICOLOR_FORCE") and not k.startswith("FUNNELCTL_")}


def ctl(*argv, stdin="", env=(), cwd=None):
    done = subprocess.run([BIN / "funnelctl", *map(str, argv)], input=stdin.encode(), capture_output=True, timeout=60, cwd=cwd,
                          env=PLAIN | {"HOME": "/nonexistent", "LC_ALL": "C.UTF-8"} | dict(env))
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.hujson"
    path.write_text('{\n  "nodeAttrs": [\n    {"target": ["autogroup:member"], "attr": ["funnel"]},\n  ],\n}\n')
    return path


# ---- the command line ----

def test_help_names_every_command_and_option():
    code, out, err = ctl()
    assert (code, err) == (0, "") and len(out.splitlines()) <= 25 and max(map(len, out.splitlines())) <= 110
    names = []
    for group in [line.split()[0] for line in out.split("\n\n")[1].splitlines()]:
        code, text, _ = ctl("help", group)
        assert code == 0
        names += [line[2:].split("  ")[0] for line in text.splitlines() if line.startswith(f"  {group}")] or [group]
    assert len(names) >= 50
    for name in names:
        words = [w for w in name.split() if w.islower()]
        code, text, _ = ctl("help", *words)
        assert code == 0 and text.startswith("funnelctl " + " ".join(words)) and "--json" in text
        assert ctl(*words, "--help")[1] == text
    _, page, _ = ctl("man")
    for option in "--write", "--facts", "--if-match", "--ca-file":
        assert option.replace("-", "\\-") in page


def test_the_manual_page_is_roff(tmp_path):
    page = tmp_path / "funnelctl.1"
    page.write_text(ctl("man")[1])
    done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, env=PLAIN | {"MANWIDTH": "100"})
    assert done.returncode == 0 and done.stderr == "" and "EXIT STATUS" in done.stdout


@pytest.mark.parametrize("argv,words", [
    (["polcy", "check", "x"], "did you mean: funnelctl policy check?"),
    (["policy", "chek", "x"], "did you mean: funnelctl policy check?"),
    (["policy", "check"], "funnelctl policy check FILE"),
    (["policy", "check", "a", "b"], "funnelctl policy check FILE"),
    (["policy", "check", "--fcts", "x", "y"], "did you mean --facts?"),
    (["policy", "standardize", "--facts", "x", "y"], "does not take --facts"),
    (["policy", "get", "--server"], "unknown option, or its value is missing"),
    (["policy", "check", "-", "--facts", "-"], "standard input can be read once"),
    (["policy", "patch", "-", "-"], "standard input can be read once"),
    (["policy", "fmt", "-w", "-"], "standard input cannot be written to"),
    (["policy", "rollback", "../x", "--server", "https://x"], "this is no revision"),
    (["completion", "tcsh"], "bash, zsh or fish"),
])
def test_usage_is_three_lines_and_2(argv, words):
    code, out, err = ctl(*argv, stdin="{}")
    assert (code, out) == (2, "") and words in err
    assert [line.split(":")[0].strip() for line in err.splitlines()] == ["funnelctl", "why", "fix"]


@pytest.mark.parametrize("typed,offered", [
    (["funnelctl", "policy", "st"], {"standardize"}),
    (["funnelctl", "policy", "edit", "r"], {"remove-funnel"}),
    (["funnelctl", "po"], {"policy"}),
    (["funnelctl", "policy", "check", "--f"], {"--facts"}),
])
def test_bash_completes_from_the_table(tmp_path, typed, offered):
    script = tmp_path / "completion"
    script.write_text(ctl("completion", "bash")[1])
    words = " ".join(f"'{w}'" for w in typed)
    ask = f'source {script}; COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _funnelctl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-euc", ask], capture_output=True, text=True)
    assert set(done.stdout.split()) == offered, done.stderr


# ---- text ----

def test_a_byte_order_mark_is_left_out_and_said_so():
    code, out, err = ctl("policy", "standardize", "-", stdin="\ufeff{} // x\n")
    assert (code, out) == (0, "{}     \n") and "byte order mark" in err


def test_fmt_writes_in_place_and_keeps_mode_and_link(tmp_path, policy):
    policy.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(policy)
    code, out, err = ctl("policy", "fmt", "--check", link)
    assert code == 1 and '-  "nodeAttrs": [' in out and '+\t"nodeAttrs": [' in out
    assert ctl("policy", "fmt", "-w", link) == (0, "", "")
    assert link.is_symlink() and policy.stat().st_mode & 0o777 == 0o640
    assert policy.read_text().startswith('{\n\t"nodeAttrs": [\n\t\t{')
    assert ctl("policy", "fmt", "--check", policy) == (0, "", "")
    assert [p.name for p in tmp_path.iterdir() if "new" in p.name] == []


def test_a_refused_text_changes_nothing(tmp_path):
    path = tmp_path / "p"
    path.write_text('{"a": [1 2]}')
    for command in ["fmt", "-w"], ["edit", "add-funnel", "-w"]:
        code, out, err = ctl("policy", *command, path)
        assert (code, out) == (1, "") and err == "line 1, column 10: invalid character '2' after array value (expecting ',' or ']')\n"
    assert path.read_text() == '{"a": [1 2]}'
    code, out, _ = ctl("policy", "fmt", "--json", path)
    assert code == 1 and json.loads(out)["errors"][0] == {
        "code": "syntax", "pointer": "", "line": 1, "column": 10, "hint": "",
        "message": "invalid character '2' after array value (expecting ',' or ']')"}


def test_a_patch_says_what_is_wrong_with_it(tmp_path):
    doc, patch = tmp_path / "doc", tmp_path / "patch"
    doc.write_text('{"a": 1}')
    patch.write_text('[\n\t{"op": "replace", "path": "/a", "value": 2},\n\t{"op": "remove", "path": "/z"},\n]\n')
    code, out, err = ctl("policy", "patch", "-w", doc, patch)
    assert (code, out) == (1, "") and err.startswith(f"{patch}:3:2: error: patch operation 1: value not found") and "^" in err
    assert doc.read_text() == '{"a": 1}'
    patch.write_text("[}")
    assert ctl("policy", "patch", doc, patch)[2] == "line 1, column 2: invalid character '}' at start of value\n"
    patch.write_text('[{"op": "add", "path": "/b", "value": [1, 2]}]')
    assert ctl("policy", "patch", "--format", doc, patch)[1] == '{"a": 1, "b": [1, 2]}\n'
    assert json.loads(ctl("policy", "patch", "--json", doc, patch)[1]) == {"text": '{"a": 1,"b":[1, 2]}'}


def test_what_cannot_be_read_is_said():
    code, out, err = ctl("policy", "check", "/nonexistent/policy")
    assert (code, out) == (1, "") and "there is no such file" in err and "fix:" in err


# ---- edits ----

def test_edits_in_place(policy):
    before = policy.read_text()
    code, out, err = ctl("policy", "edit", "add-to-group", "-w", policy, "group:ops", "cy@example.com")
    assert (code, out) == (0, "") and "changed" in err
    assert ctl("policy", "edit", "add-to-group", policy, "group:ops", "CY@example.com")[1] == policy.read_text()
    assert ctl("policy", "edit", "add-funnel", "-w", policy, "--target", "group:ops", "--comment", "for now")[0] == 0
    text = policy.read_text()
    assert "// for now\n" in text and '"target": ["group:ops"]' in text and text.startswith(before.rstrip("}\n").rstrip(" ],\n"))
    assert ctl("policy", "edit", "remove-funnel", "-w", policy, "--target", "group:ops")[0] == 0
    assert "for now" not in policy.read_text() and '"group:ops": ["cy@example.com"]' in policy.read_text()
    code, out, _ = ctl("policy", "edit", "tag-owners", policy, "tag:web", "group:ops", "autogroup:admin", "--json")
    assert code == 0 and '"tag:web": ["group:ops", "autogroup:admin"]' in json.loads(out)["text"]


def test_an_edit_that_would_not_validate_is_refused(policy):
    before = policy.read_text()
    code, out, err = ctl("policy", "edit", "add-funnel", "-w", policy, "--target", "tag:nope")
    assert (code, out) == (1, "") and 'tag not found: "tag:nope"' in err and policy.read_text() == before


# ---- check ----

BAD = '{\n\t"groups": {"group:ops": ["cy@example.com"]},\n\t"nodeAttrs": [{"target": ["tag:é", "group:ops"], "attr": 7}],\n}\n'
BAD_AT = f"<stdin>:3:{BAD.encode().splitlines()[2].index(b'7') + 1}: error: "


def test_check_shows_the_place():
    code, out, err = ctl("policy", "check", "-", stdin=BAD)
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(BAD_AT))
    assert code == 1 and lines[at].endswith("[type /nodeAttrs/0/attr]")
    assert lines[at + 1].endswith('"attr": 7}],') and lines[at + 2].rstrip().endswith("^")
    assert lines[at + 1][lines[at + 2].index("^")] == "7"  # the caret counts characters, not bytes
    assert "\x1b" not in out + err and "<stdin>: " in err and "error" in err


def test_colours():
    assert "\x1b[31m" in ctl("policy", "check", "--color", "always", "-", stdin=BAD)[1]
    assert "\x1b[31m" in ctl("policy", "check", "-", stdin=BAD, env={"CLICOLOR_FORCE": "1"})[1]
    assert "\x1b" not in ctl("policy", "check", "-", stdin=BAD, env={"CLICOLOR_FORCE": "1", "NO_COLOR": "1"})[1]
    assert ctl("policy", "check", "--color", "sometimes", "-", stdin=BAD)[0] == 2
    assert "?" in ctl("policy", "check", "-", stdin=BAD, env={"LC_ALL": "C"})[1]


def test_a_policy_cannot_write_on_the_terminal():
    evil = '{"nodeAttrs": [{"target": ["\\u001b]0;x\\u0007"], "attr": 7}], "x\x7f\u202e": 1}\n'
    code, out, err = ctl("policy", "check", "-", stdin=evil)
    assert code == 1 and not set("\x1b\x07\x7f\u202e") & set(out + err)


def test_long_lines_are_cut_around_the_caret():
    text = '{"groups": {' + ", ".join(f'"group:g{i}": []' for i in range(400)) + '}, "nodeAttrs": 7}\n'
    _, out, _ = ctl("policy", "check", "-", stdin=text)
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if "[type /nodeAttrs]" in line)
    assert len(lines[at + 1]) < 120 and lines[at + 1][lines[at + 2].index("^")] == "7"


def test_strict_fails_on_warnings(policy):
    policy.write_text('{"nodeAttrs": [{"target": [], "attr": ["funnel"]}]}')
    assert ctl("policy", "check", policy)[0] == 0
    assert ctl("policy", "check", "--strict", policy)[0] == 1
    got = json.loads(ctl("policy", "check", "--json", policy)[1])
    assert got["errors"] == [] and got["warnings"][0]["code"] == "entry-without-effect"


# ---- eval ----

def example_facts():
    """The example of the manual page is real."""
    page = ctl("man")[1]
    return page.split(".nf\n")[1].split(".fi\n")[0].replace("\\-", "-")


def test_eval_for_people(policy, tmp_path):
    facts = tmp_path / "facts"
    facts.write_text(example_facts())
    policy.write_text('{"nodeAttrs": [{"target": ["*"], "attr": ["drive:share"]}, {"target": ["cy@example.com"], "attr": ["funnel"], '
                      '"app": {"example.com/x": [1E400, {"a": "\u00e9"}]}}]}')
    code, out, err = ctl("policy", "eval", policy, "--facts", facts)
    rows = [line.split(None, 2) for line in out.splitlines()]
    assert code == 0 and rows[0] == ["NODE", "OWNER", "CAPABILITIES"] and "1 of 3 nodes may use Funnel" in err
    assert rows[1][:2] == ["laptop", "cy@example.com"] and "funnel (443,8443,10000)" in rows[1][2] and "example.com/x = [1E400," in rows[1][2]
    assert rows[3][-1].split() == ["in", "-"]
    code, out, _ = ctl("policy", "eval", policy, "--facts", facts, "--json")
    assert code == 0 and "1E400" in out  # a number is handed on as it stands
    assert sorted(json.loads(out)["caps"]["laptop"]) == json.loads(out)["caps"]["laptop"]
    assert list(json.loads(out)["values"]) == ["laptop"]


def test_eval_needs_what_it_needs(policy, tmp_path):
    assert ctl("policy", "eval", policy)[0] == 2
    facts = tmp_path / "facts"
    facts.write_text('{"users": {"a@b": "king"}}')
    code, out, err = ctl("policy", "eval", policy, "--facts", facts)
    assert (code, out) == (1, "") and "line 1, column" in err
    facts.write_text(example_facts())
    policy.write_text(BAD)
    code, out, _ = ctl("policy", "eval", policy, "--facts", facts, "--json")
    assert code == 1 and json.loads(out)["errors"]
    code, out, err = ctl("policy", "eval", policy, "--facts", facts)
    assert (code, out) == (1, "") and "error:" in err


def test_explain(policy, tmp_path):
    facts = tmp_path / "facts"
    facts.write_text(example_facts())
    policy.write_text('{\n\t"tagOwners": {"tag:web": []},\n\t"nodeAttrs": [{"target": ["tag:web"], "attr": ["funnel"]}],\n}\n')
    code, out, err = ctl("policy", "explain", policy, "web1", "funnel", "--facts", facts)
    assert (code, err) == (0, "") and out.startswith('✓ web1 has "funnel"') and f"{policy}:3:28: " in out and "^" in out
    code, out, _ = ctl("policy", "explain", policy, "laptop", "funnel", "--facts", facts)
    assert code == 0 and out.startswith('✗ laptop lacks "funnel"') and "next: " in out
    got = json.loads(ctl("policy", "explain", policy, "laptop", "funnel", "--facts", facts, "--json")[1])
    assert got["has"] is False and got["reasons"][0]["pointer"] == "/nodeAttrs/0/target/0" and got["next"]
    code, out, err = ctl("policy", "explain", policy, "web2", "funnel", "--facts", facts)
    assert (code, out) == (1, "") and "did you mean web1?" in err


def test_check_runs_the_tests_or_says_that_it_did_not(policy, tmp_path):
    facts = tmp_path / "facts"
    facts.write_text(example_facts())
    policy.write_text('{"tagOwners": {"tag:web": []}, "nodeAttrs": [{"target": ["tag:web"], "attr": ["funnel"]}],\n'
                      ' "nodeAttrTests": [{"target": "tag:web", "lack": ["funnel"]}]}')
    code, out, err = ctl("policy", "check", policy)
    assert (code, out) == (0, "") and "tests were not run" in err
    code, out, err = ctl("policy", "check", policy, "--facts", facts)
    assert code == 1 and "[test-failed /nodeAttrTests/0/lack/0]" in out and "not run" not in err


# ---- the server ----

@pytest.fixture(scope="module")
def server(folder):
    c = test_loopback.HighPorts(folder / "ctl")
    c.build()
    c.write_configs()
    c.control_host.run(BIN / "funnel-control", "init", "--config", c.control_conf, "--owner", "ann@example.com", "--out-dir", c.folder / "secrets")
    c.start_control()
    yield c
    print(c.processes["control"].log.read_text(errors="replace")[-3000:])
    c.stop()


@pytest.fixture
def remote(server):
    env = {"FUNNELCTL_SERVER": server.origin, "FUNNELCTL_CA_FILE": server.ca.cert, "FUNNELCTL_KEY": f"file:{server.folder}/secrets/api-key"}
    return lambda *argv, stdin="", cwd=None, more=(): ctl("policy", *argv, stdin=stdin, cwd=cwd, env=env | dict(more))


FIRST = '{\n\t// first\n\t"groups": {"group:ops": ["ann@example.com"]},\n}\n'
SECOND = FIRST.replace("first", "second")


def test_save_only_over_what_was_seen(server, remote, tmp_path):
    file, other = tmp_path / "policy.hujson", tmp_path / "other.hujson"
    # The untouched default may be replaced without having been looked at.
    other.write_text(FIRST)
    code, etag, err = remote("set", other)
    assert (code, err) == (0, "") and len(etag.strip()) == 64
    assert remote("get") == (0, FIRST, "")
    # Anything else may not.
    other.write_text(SECOND)
    code, out, err = remote("set", other)
    assert (code, out) == (1, "") and "not known which version" in err and "--if-match" in err
    # What `get -o` has left may: once, and again, since the ETag beside the file moves on.
    assert remote("get", "-o", file)[0] == 0
    assert (tmp_path / "policy.hujson.etag").read_text() == etag
    file.write_text(SECOND)
    code, second, _ = remote("set", file, "-m", "a reason & more")
    assert code == 0 and second != etag and (tmp_path / "policy.hujson.etag").read_text() == second
    file.write_text(FIRST)
    assert remote("set", file)[0] == 0
    # Somebody else in between.
    assert remote("set", other, "--if-match", etag.strip())[0] == 0
    file.write_text(FIRST.replace("first", "third"))
    code, out, err = remote("set", file)
    assert (code, out) == (1, "") and "not the one that yours was made from" in err
    assert remote("get")[1] == SECOND
    code, out, _ = remote("set", file, "--json")
    assert code == 1 and json.loads(out)["message"] == "precondition failed, invalid old hash"
    assert remote("set", file, "--force")[0] == 0


def test_a_refused_save_shows_the_places(remote, tmp_path):
    before = remote("get")[1]
    code, out, err = remote("set", "-", "--force", stdin=BAD)
    assert code == 1 and BAD_AT in out and "[type /nodeAttrs/0/attr]" in out and "^" in out
    code, out, _ = remote("set", "-", "--force", "--json", stdin=BAD)
    assert code == 1 and {"type"} <= {d["code"] for d in json.loads(out)["errors"]}
    code, out, err = remote("set", "-", stdin=" \n")
    assert (code, out) == (1, "") and "the file is empty" in err
    assert remote("get")[1] == before


def test_who_and_where(server, remote, tmp_path):
    wrong = tmp_path / "key"
    wrong.write_text("fnl-api-wrong\n")
    code, out, err = remote("get", "--key", f"file:{wrong}")
    assert (code, out) == (77, "") and "fix:" in err
    assert remote("get", "--key", "fnl-api-in-the-open")[0] == 2
    assert "others on this machine" in remote("get", "--key", "fnl-api-in-the-open")[2]
    assert remote("get", more={"FUNNELCTL_KEY": server.secret("api-key")})[0] == 0
    assert remote("get", more={"FUNNELCTL_KEY": ""})[0] == 77
    code, _, err = remote("get", "--server", "https://127.0.0.1:1")
    assert code == 69 and "cannot reach https://127.0.0.1:1" in err
    code, _, err = remote("get", more={"FUNNELCTL_CA_FILE": ""})
    assert code == 69 and "--ca-file" in err
    assert remote("get", more={"FUNNELCTL_SERVER": ""})[0] == 2
    conf = tmp_path / "openfunnel" / "funnelctl.hujson"
    conf.parent.mkdir()
    conf.write_text(f'{{"server": "{server.origin}", "caFile": "{server.ca.cert}", "key": "file:{server.folder}/secrets/api-key"}}')
    assert ctl("policy", "get", env={"XDG_CONFIG_HOME": str(tmp_path)})[0] == 0
    conf.write_text('{"sever": "x"}')
    code, _, err = ctl("policy", "get", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert code == 2 and "funnelctl.hujson: line 1, column 2" in err


def test_history_diff_and_rollback(remote, tmp_path):
    file = tmp_path / "p"
    file.write_text(FIRST)
    first = remote("set", file, "--force", "-m", "one")[1].strip()
    file.write_text(SECOND)
    second = remote("set", file, "--if-match", first, "-m", "two & more")[1].strip()
    code, out, _ = remote("history", "--limit", "2", "--json")
    newest, older = json.loads(out)["versions"]
    assert code == 0 and (newest["etag"], older["etag"]) == (second, first) and newest["current"] and older["message"] == "one"
    code, out, err = remote("history")
    rows = out.splitlines()
    assert code == 0 and rows[0].split()[:3] == ["REV", "WHEN", "VIA"]
    assert rows[1].split()[0] == f"{newest['rev']}*" and second[:12] in rows[1] and "ann@example.com" in rows[1] and "two & more" in rows[1]
    assert remote("get", "--rev", older["rev"]) == (0, FIRST, "")

    code, out, _ = remote("diff", "--from", older["rev"], "--to", newest["rev"])
    assert code == 0 and "-\t// first\n+\t// second\n" in out
    file.write_text(SECOND.replace("second", "here"))
    code, out, _ = remote("diff", file)
    assert code == 0 and "-\t// second\n+\t// here\n" in out
    assert "\x1b[32m+" in remote("diff", file, "--color", "always")[1]
    assert json.loads(remote("diff", file, "--json")[1])["etag"] == second
    file.write_text(SECOND)
    assert remote("diff", file)[:2] == (0, "")

    code, out, err = remote("rollback", older["rev"], "-m", "back")
    assert (code, out.strip()) == (0, first) and f"version {newest['rev']} by ann@example.com" in err
    assert remote("get")[1] == FIRST
    assert remote("rollback", "999999")[0] == 1
    code, _, err = remote("rollback", newest["rev"], "--if-match", second)
    assert code == 1 and "the server has a version by ann@example.com" in err


def test_test_judges_by_the_server_and_saves_nothing(remote, tmp_path):
    before = remote("get")[1]
    good = tmp_path / "good"
    good.write_text('{"nodeAttrs": [{"target": ["autogroup:member"], "attr": ["funnel"]}]}')
    code, out, err = remote("test", good, "--effects")
    assert code == 0 and "0 errors" in err and "no device gains or loses anything" in out
    code, out, _ = remote("test", good, "--effects", "--json")
    assert code == 0 and json.loads(out)["effects"]["changed"] in (True, False) and json.loads(out)["errors"] == []
    code, out, err = remote("test", "-", stdin=BAD)
    assert code == 1 and BAD_AT in out and "[type /nodeAttrs/0/attr]" in out
    code, out, err = remote("test", "-", stdin='{"nodeAttrTests": [{"target": "ann@example.com", "have": ["funnel"]}]}')
    assert code == 1 and "test(s) failed" in out
    # an array holds tests alone, for the policy in force
    code, out, err = remote("test", "-", stdin='[{"src": "ann@example.com", "accept": ["100.64.0.1:443"]}]')
    assert code == 0, out + err
    code, out, err = remote("test", "-", stdin='[{"src": "ann@example.com", "deny": ["100.64.0.1:443"]}]')
    assert code == 1 and "want: Drop, got: Accept" in out
    assert remote("test")[0] == 0
    assert remote("get")[1] == before
