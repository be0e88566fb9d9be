"""funnelctl's commands for administration against a real control server: what an admin types, what they see, what then holds."""
import json
import os
import re
import subprocess

import control as controllib
import pytest
from cluster import BIN

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    c = controllib.Control(tmp_path_factory.mktemp("admin")).configure().start()
    yield c
    c.stop()


class Ctl:
    def __init__(self, control, key_file):
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "FUNNELCTL_SERVER": control.origin,
                    "FUNNELCTL_KEY": f"file:{key_file}", "FUNNELCTL_CA_FILE": str(control.ca.cert)}

    def __call__(self, *argv, code=0, **env):
        done = subprocess.run([BIN / "funnelctl", *argv], env=self.env | env, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == code, (argv, done)
        assert all(line == line.rstrip() for line in done.stdout.splitlines()), "blanks at the end of a line"
        self.err = done.stderr
        return done.stdout

    def json(self, *argv):
        return json.loads(self(*argv, "--json"))


@pytest.fixture(scope="module")
def ctl(control):
    return Ctl(control, control.folder / "secrets/api-key")


@pytest.fixture(scope="module")
def admin(control, tmp_path_factory):
    """Somebody else than the owner, whose requests they are."""
    control.add_user("bo@example.com", "admin")
    key = tmp_path_factory.mktemp("key") / "bo"
    key.write_text(control.new_key("api", "bo@example.com"))
    return Ctl(control, key)


def test_who_and_what(ctl, control):
    assert "ann@example.com" in ctl("whoami") and ctl.json("whoami")["role"] == "owner"
    status = ctl.json("status")
    assert status["schema"] == "funnelctl.status/1" and status["users"] >= 1 and status["server"] == control.origin
    lines = ctl("status").splitlines()
    assert lines[0] == control.origin and [line.split()[0] for line in lines[2:]] == ["public", "requests", "machines", "users"]


def test_nodes(ctl, control):
    control.register("alpha")
    beta = control.register("beta")
    head, *rows = ctl("nodes").splitlines()
    at = head.index("OWNER")
    assert all(row[at:].startswith("ann@example.com") and row[at - 1] == " " for row in rows) and len(rows) == 2
    assert "beta" in ctl("nodes", "show", "beta") and ctl.json("nodes", "show", beta.id)["hostname"] == "beta"
    ctl("nodes", "rename", "beta", "gamma")
    assert ctl.err.endswith("renamed\n") and "gamma." in ctl("nodes") and "beta." not in ctl("nodes")
    ctl("nodes", "tag", "gamma", "tag:web", code=1)
    assert "tagOwners" in ctl.err
    ctl("nodes", "expire", "gamma")
    assert ctl.json("nodes", "show", "gamma")["expires"]
    ctl("nodes", "delete", "gamma")
    assert len(ctl.json("nodes")["devices"]) == 1
    ctl("nodes", "show", "gamma", code=1)
    assert "there is no such node" in ctl.err and "funnelctl nodes list" in ctl.err
    assert controllib.Client(control, beta.token)("GET", "/node/v1/stream").status == 401


def test_users_and_invitations(ctl, control):
    control.add_user("cy@example.com")
    ctl("users", "role", "cy@example.com", "auditor")
    assert re.search(r"cy@example.com\s.*auditor", ctl("users"))
    ctl("users", "suspend", "cy@example.com")
    assert "suspended" in ctl("users", "show", "cy@example.com")
    ctl("users", "restore", "cy@example.com")
    ctl("users", "delete", "cy@example.com")
    assert "cy@example.com" not in ctl("users")
    ctl("users", "role", "ann@example.com", "member", code=77)
    assert "hand over" in ctl.err
    link = ctl("invite", "di@example.com", "--role", "admin").strip()
    assert re.fullmatch(re.escape(control.origin) + r"/setup#\w{20,}", link)
    assert re.search(r"di@example.com\s+admin", ctl("invites"))
    ctl("invites", "delete", "di@example.com")
    ctl("invites")
    assert "nobody is invited" in ctl.err


def test_keys(ctl, control):
    secret = ctl("keys", "create", "--reusable", "--expires", "30d", "--description", "ci").strip()
    assert secret.startswith("fnl-auth-") and secret not in ctl.err
    assert re.search(r"auth\s+good\s+\S+ \S+\s+reusable\s+ci", ctl("keys")) and secret not in ctl("keys", "--json")
    ctl("keys", "create", "--kind", "api", "--reusable", code=2)
    ctl("keys", "create", "--kind", "house", code=2)
    ctl("keys", "create", "--expires", "soon", code=2)
    api = ctl("keys", "create", "--kind", "api", "--description", "mine").strip()
    assert controllib.Client(control, api)("GET", "/api/v2/whoami").status == 200
    ctl("keys", "revoke", "mine")
    assert controllib.Client(control, api)("GET", "/api/v2/whoami").status == 401


def test_requests_and_the_kill_switch(ctl, admin, control):
    node = control.register("asks")
    ask = controllib.Client(control, node.token)
    answer = ask("POST", "/node/v1/feature/query", {"feature": "funnel", "port": 443, "target": "http://127.0.0.1:3000"},
                 Content_Type="application/json").json
    (request,) = admin.json("requests", "list", "--state", "pending")["requests"]
    shown = admin("requests", "show", request["id"])
    assert f"--grant {node.ipv4}" in shown and '"funnel"' in shown
    ctl("requests", "approve", request["id"], code=77)  # one's own: a browser's matter
    admin("requests", "approve", request["id"], "--grant", node.ipv4, "--code", "AAAA-22", code=77)
    code = answer.get("MatchCode") or answer.get("matchCode")
    admin("requests", "approve", request["id"], "--grant", node.ipv4, "--code", code, "--expires", "8h")
    assert admin.err.endswith("the waiting command goes on\n")
    assert node.ipv4 in control.owner()("GET", "/api/v2/tailnet/-/acl").text
    ctl("kill-switch", "on", "--reason", "drill")
    assert control.owner()("GET", "/api/v2/tailnet/-/funnel-lock").json["locked"] is True
    ctl("kill-switch", "sideways", code=2)
    ctl("kill-switch", "off")
    assert control.owner()("GET", "/api/v2/tailnet/-/funnel-lock").json["locked"] is False


def test_webhooks_and_the_audit_log(ctl):
    ctl("webhooks", "create", "https://example.org/hook", code=2)
    secret = ctl("webhooks", "create", "https://example.org/hook", "--events", "nodeCreated").strip()
    assert secret and secret not in ctl("webhooks")
    assert "https://example.org/hook" in ctl("webhooks")
    ctl("webhooks", "delete", "https://example.org/hook")
    ctl("webhooks")
    assert "no webhooks" in ctl.err
    log = ctl("audit")
    assert "USER.UPDATE.ROLE" in log and "NODE.DELETE" in log
    assert all("ROLE" in line for line in ctl("audit", "--event", "USER.UPDATE.ROLE").splitlines()[1:])


def test_a_way_back_in(ctl, control, tmp_path):
    made = ctl.json("user", "reset-login", "ann@example.com", "--config", control.conf)
    assert any("/setup#" in str(v) for v in made.values()) or "/setup" in json.dumps(made)
    ctl("setup-link", "--config", tmp_path / "none", code=69)
    assert "on the server's own machine" in ctl.err


def test_lists_on_a_narrow_terminal_and_without_colours(ctl):
    """On a terminal of 60 columns a line has at most 60; NO_COLOR holds; TERM=dumb too."""
    script = "import os,pty,sys; os.environ['COLUMNS']='60'; pty.spawn(sys.argv[1:])"
    run = ["/usr/bin/python3", "-c", script, "sh", "-c", f"stty cols 60; exec {BIN}/funnelctl nodes"]
    plain = subprocess.run(run, env=ctl.env | {"TERM": "xterm", "NO_COLOR": "1"}, capture_output=True, text=True, timeout=60)
    lines = plain.stdout.replace("\r", "").splitlines()
    assert lines and max(map(len, lines)) <= 60 and "\033" not in plain.stdout and any("…" in line for line in lines)
    coloured = subprocess.run(run, env=ctl.env | {"TERM": "xterm"}, capture_output=True, text=True, timeout=60)
    assert "\033[1m" in coloured.stdout
    dumb = subprocess.run(run, env=ctl.env | {"TERM": "dumb"}, capture_output=True, text=True, timeout=60)
    assert "\033" not in dumb.stdout


def test_what_a_server_says_does_not_move_the_cursor(ctl):
    ctl("nodes", "show", "x\033[2Jy", code=1)
    assert "\033" not in ctl.err
