"""`funnel up` without a key: a link, a person who picks the right code, and a machine that is let in, or is not."""
import base64
import hashlib
import html
import http.server
import json
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import net as netlib
from cluster import BIN, ROOT, wait_for
from control import Client, Control

BROWSER = ROOT / "tests/browser"
PHRASE = "a long enough phrase"
NETWORK = "/api/v2/tailnet/-"

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    control = Control(tmp_path_factory.mktemp("join")).configure().start()
    yield control
    control.stop()


class Machine:
    """A daemon of its own on loopback."""
    def __init__(self, c, folder):
        self.c, self.folder, self.commands = c, folder, []
        self.conf = folder / "agent.hujson"
        self.conf.write_text(json.dumps({"stateDir": str(folder / "state"), "socket": str(folder / "s"), "caFile": str(c.ca.cert)}))
        self.log = folder / "agent.log"
        with self.log.open("wb") as out:
            self.p = subprocess.Popen([BIN / "funneld", "--config", self.conf], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                      preexec_fn=netlib.die_with_parent)
        wait_for(lambda: (folder / "s").exists())

    def start(self, *args):
        p = subprocess.Popen([BIN / "funnel", "--socket", self.folder / "s", *args], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=(self.folder / f"{len(self.commands)}.err").open("wb"), text=True,
                             preexec_fn=netlib.die_with_parent)
        p.err = self.folder / f"{len(self.commands)}.err"
        self.commands.append(p)
        return p

    def up(self, *args, origin=None):
        """The command, once it has shown its link: (command, link, code)."""
        p = self.start("up", origin or self.c.origin, *args)
        link = wait_for(lambda: next((w for w in p.err.read_text().split() if "/a/" in w), None) or (p.poll() is not None and 1 / 0))
        return p, link, re.search(r"code: ([A-Z]{4}-\d[A-Z])", p.err.read_text()).group(1)

    def status(self):
        return json.loads(subprocess.run([BIN / "funnel", "--socket", self.folder / "s", "status", "--json"], capture_output=True,
                                         text=True, check=True, timeout=20).stdout)

    def stop(self):
        for p in self.commands:
            if p.poll() is None:
                p.kill()
            p.wait(10)
        self.p.send_signal(signal.SIGTERM)
        assert self.p.wait(20) == 0 and "Sanitizer" not in self.log.read_text(), self.log.read_text()[-3000:]


@pytest.fixture
def machine(c, tmp_path_factory):
    m = Machine(c, tmp_path_factory.mktemp("m"))
    yield m
    m.stop()
    with c.db() as db:
        db.execute("UPDATE registrations SET state = 'expired' WHERE state = 'pending'")


class Person:
    """A browser without a window: a session of somebody invited for it."""
    def __init__(self, c, login, role="member"):
        self.c, self.cookie, self.login = c, "", login
        made = c.owner()("POST", NETWORK + "/user-invites", [{"email": login, "role": role}])
        assert made.status == 200, made
        self.post("/setup", code=made.json[0]["inviteUrl"].split("#")[1], password=PHRASE)
        assert "__Host-funnel=" in self.cookie

    def ask(self, method, path, body=None, **headers):
        k = self.c.connect()
        k.request(method, path, body, {"Cookie": self.cookie, "Accept": "text/html", **headers})
        r = k.getresponse()
        text = r.read().decode()
        jar = dict(p.split("=", 1) for p in self.cookie.split("; ") if p)
        for h in r.headers.get_all("Set-Cookie") or []:
            name, _, value = h.split(";")[0].partition("=")
            jar[name] = value
        self.cookie = "; ".join(f"{k}={v}" for k, v in jar.items())
        k.close()
        return r.status, text, r.headers.get("Location", "")

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, origin=None, **fields):
        return self.ask("POST", path, urllib.parse.urlencode(fields),
                        **{"Content-Type": "application/x-www-form-urlencoded", "Origin": origin or self.c.origin})

    def decide(self, link, verb, code=None):
        path = urllib.parse.urlsplit(link).path
        page = self.get(path)[1]
        csrf = re.search(r'name=csrf value="([0-9a-f]{64})"', page).group(1)
        return self.post(f"{path}/{verb}", csrf=csrf, **({"code": code} if code else {}))

    def stale(self):
        with self.c.db() as db:
            db.execute("UPDATE sessions SET verified = 1 WHERE user_id = (SELECT id FROM users WHERE login = ?)", (self.login,))


def person(c, role="member"):
    return Person(c, f"{secrets.token_hex(4)}@example.com", role)


def state_of(c, link):
    with c.db() as db:
        return db.execute("SELECT state FROM registrations WHERE stable_id = ?", (link.rsplit("/", 1)[1],)).fetchone()[0]


def end(p, seconds=10):
    return p.wait(seconds), p.stdout.read(), p.err.read_text()


def test_approved_and_the_command_goes_on_by_itself(c, machine):
    who = person(c)
    p, link, code = machine.up("--hostname", "Ann's laptop")
    assert link.startswith(c.origin + "/a/") and len(link.rsplit("/", 1)[1]) == 26
    status, page, _ = who.get(urllib.parse.urlsplit(link).path)
    shown = re.findall(r'name=code value="([^"]+)"', page)
    assert status == 200 and len(set(shown)) == 3 and code in shown and "Ann&#39;s laptop" in page and "127.0.0.1" in page
    assert re.findall(r'name=code value="([^"]+)"', who.get(urllib.parse.urlsplit(link).path)[1]) == shown
    assert state_of(c, link) == "pending" and p.poll() is None  # to look changes nothing
    start = time.monotonic()
    assert who.decide(link, "approve", code)[0] == 303
    rc, out, _ = end(p)
    assert rc == 0 and time.monotonic() - start < 1 and out.startswith("Logged in as anns-laptop.")
    wait_for(lambda: machine.status()["control"]["connected"])
    assert machine.status()["self"]["user"] == who.login and state_of(c, link) == "taken"
    page = who.get(urllib.parse.urlsplit(link).path)[1]
    assert f"<b>granted</b> by {who.login}" in html.unescape(page) and "name=code" not in page
    assert who.post(urllib.parse.urlsplit(link).path + "/approve", csrf="0" * 64, code=code)[0] == 403


def test_denied(c, machine):
    who = person(c)
    p, link, _ = machine.up()
    assert who.decide(link, "deny")[0] == 303
    rc, out, err = end(p)
    assert rc == 77 and out == "" and "FNL-117" in err and who.login in err and state_of(c, link) == "denied"
    assert who.decide(machine.up()[1], "deny")[0] == 303  # a new link


def test_the_wrong_code_denies(c, machine):
    who = person(c)
    p, link, code = machine.up()
    page = who.get(urllib.parse.urlsplit(link).path)[1]
    wrong = next(x for x in re.findall(r'name=code value="([^"]+)"', page) if x != code)
    status, page, _ = who.decide(link, "approve", wrong)
    assert status == 409 and "not the machine" in html.unescape(page) and end(p)[0] == 77
    log = c.owner()("GET", NETWORK + "/logging/configuration?start=2020-01-01T00:00:00Z&end=2099-01-01T00:00:00Z").json["logs"]
    mine = [e for e in log if e["target"]["id"] == link.rsplit("/", 1)[1]]
    assert [(e["action"], e["new"], e["actor"]["loginName"]) for e in mine] == [
        ("NODE.REGISTER.DENY", "the wrong match code was chosen", who.login)]


def test_nobody_comes(c, machine):
    p, link, _ = machine.up()
    with c.db() as db:
        db.execute("UPDATE registrations SET expires = 1 WHERE state = 'pending'")
    rc, _, err = end(p, 60)
    assert rc == 75 and "FNL-118" in err
    assert "name=code" not in person(c).get(urllib.parse.urlsplit(link).path)[1]


def test_ctrl_c_and_again_is_the_same_link(c, machine):
    who = person(c)
    p, link, code = machine.up()
    p.send_signal(signal.SIGINT)
    assert p.wait(10) != 0
    again, same, _ = machine.up()
    assert same == link
    again.kill()
    assert who.decide(link, "approve", code)[0] == 303  # no command waits: the daemon does
    wait_for(lambda: machine.status()["control"]["connected"])
    assert machine.status()["self"]["user"] == who.login


def test_a_deleted_machine_asks_again(c, machine):
    who = person(c)
    p, link, code = machine.up()
    assert who.decide(link, "approve", code)[0] == 303 and end(p)[0] == 0
    wait_for(lambda: machine.status()["control"]["connected"])
    node = machine.status()["self"]["nodeId"]
    assert c.owner()("DELETE", f"/api/v2/device/{node}").status == 200
    wait_for(lambda: "status=401" in machine.log.read_text())
    p, again, code = machine.up()
    assert again != link and who.decide(again, "approve", code)[0] == 303 and end(p)[0] == 0
    assert machine.status()["self"]["nodeId"] != node


def test_a_foreign_link_is_not_shown(c, machine):
    evil = {"at": ""}

    class Hostile(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"URL": evil["at"], "MatchCode": "AAAA-2B", "Expires": "2099-01-01T00:00:00Z", "PollSecret": "x"})
            self.send_response(202)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    crt, key = c.ca.issue("hostile", "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(crt, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"https://127.0.0.1:{server.server_port}"
    for at in (f"{origin}.evil.example/a/abc", "https://evil.example/a/abc", f"{origin}@evil.example/a/abc", f"{origin}/login",
               f"{origin}/a/\x1b[2J"):
        evil["at"] = at
        p = machine.start("up", origin)
        assert p.wait(20) == 76
        err = p.err.read_text()
        assert "FNL-111" in err and "evil" not in err and "\x1b[2J" not in err and p.stdout.read() == ""
    server.shutdown()


def test_pages_ask_who_it_is_and_whether_it_is_still_them(c, machine):
    who, stranger = person(c), person(c)
    _, link, code = machine.up()
    path = urllib.parse.urlsplit(link).path
    stranger.cookie = ""
    assert stranger.get(path)[0::2] == (303, "/login")
    assert who.get("/a/" + "x" * 26)[0] == 404
    csrf = re.search(r'name=csrf value="([0-9a-f]{64})"', who.get(path)[1]).group(1)
    assert who.post(path + "/approve", origin="https://evil.example", csrf=csrf, code=code)[0] == 403
    assert who.post(path + "/approve", code=code)[0] == 403
    who.stale()
    assert who.decide(link, "approve", code)[0::2] == (303, "/verify") and state_of(c, link) == "pending"


def test_a_new_role_or_suspension_ends_sessions(c):
    who = person(c, "auditor")
    ident = next(u["id"] for u in c.owner()("GET", NETWORK + "/users").json["users"] if u["loginName"] == who.login)
    assert who.get("/account")[0] == 200
    assert c.owner()("POST", f"/api/v2/users/{ident}/role", {"role": "it-admin"}).status == 200
    assert who.get("/account")[0::2] == (303, "/login")
    assert who.post("/login", login=who.login, password=PHRASE)[0] == 303 and who.get("/account")[0] == 200
    assert c.owner()("POST", f"/api/v2/users/{ident}/suspend", {}).status == 200
    assert who.get("/account")[0::2] == (303, "/login")
    assert who.post("/login", login=who.login, password=PHRASE)[0] == 401


def test_machines_wait_where_devices_are_approved(c, tmp_path_factory):
    assert c.owner()("PATCH", NETWORK + "/settings", {"devicesApprovalOn": True}).status == 200
    for role, authorized in (("member", 0), ("it-admin", 1)):
        m = Machine(c, tmp_path_factory.mktemp("m"))
        who = person(c, role)
        p, link, code = m.up("--hostname", f"of-{role}")
        assert who.decide(link, "approve", code)[0] == 303 and end(p)[0] == 0
        with c.db() as db:
            row = db.execute("SELECT authorized, key_expires > 0, ephemeral FROM nodes WHERE label = ?", (f"of-{role}",)).fetchone()
        assert row == (authorized, 1, 0)
        m.stop()
    assert c.owner()("PATCH", NETWORK + "/settings", {"devicesApprovalOn": False}).status == 200


def ask(c, transport=None):
    return Client(c, "")("POST", "/node/v1/register", {"hostname": "h", "os": "linux", "version": "1",
                                                       "transportKey": transport or secrets.token_hex(32)}, Content_Type="application/json")


def test_the_secret_of_the_waiting_daemon(c):
    asked = ask(c).json
    assert Client(c, "")("POST", "/node/v1/register/wait", {"pollSecret": "x"}, Content_Type="application/json").status == 401
    stored = b"".join(p.read_bytes() for p in (c.folder / "state").iterdir() if p.name.startswith("control.db"))
    assert asked["PollSecret"].encode() not in stored and asked["PollSecret"] not in c.log.read_text()
    who = person(c)
    assert who.decide(asked["URL"], "approve", asked["MatchCode"])[0] == 303
    tokens = [Client(c, "")("POST", "/node/v1/register/wait", {"pollSecret": asked["PollSecret"]}, Content_Type="application/json").json
              for _ in range(2)]  # an answer that was lost is given again
    assert tokens[0]["nodeId"] == tokens[1]["nodeId"] and tokens[0]["nodeToken"] != tokens[1]["nodeToken"]
    assert Client(c, tokens[0]["nodeToken"])("PUT", "/node/v1/funnels", {"funnels": []}).status == 401
    assert Client(c, tokens[1]["nodeToken"])("PUT", "/node/v1/funnels", {"funnels": []}).status == 200


def test_a_machine_of_somebody_else_stays_theirs(c):
    transport = secrets.token_hex(32)
    first, second = person(c), person(c)
    asked = ask(c, transport).json
    assert first.decide(asked["URL"], "approve", asked["MatchCode"])[0] == 303
    again = ask(c, transport).json
    status, page, _ = second.decide(again["URL"], "approve", again["MatchCode"])
    assert status == 409 and "belongs to somebody else" in page and state_of(c, again["URL"]) == "pending"


def test_a_flood_of_one_address_is_bounded(c):
    with c.db() as db:
        db.execute("UPDATE registrations SET state = 'expired' WHERE state = 'pending'")
    answers = [ask(c) for _ in range(12)]
    assert [a.status for a in answers] == [202] * 10 + [429] * 2
    assert answers[-1].json["code"] == "registration.too_many" and answers[-1].headers["Retry-After"]
    with c.db() as db:
        db.execute("UPDATE registrations SET state = 'expired' WHERE state = 'pending'")


def spki(c):
    cert = x509.load_pem_x509_certificate((c.folder / "control.crt").read_bytes())
    der = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


@pytest.mark.parametrize("script", ["js", "nojs"])
def test_an_invited_person_lets_their_machine_in(c, machine, script):
    if not (BROWSER / "node_modules").exists() or not shutil.which("node"):
        pytest.skip("tests/browser has no node_modules: scripts/test runs npm ci there")
    login = f"new-{script}@example.com"
    invite = c.owner()("POST", NETWORK + "/user-invites", [{"email": login}]).json[0]["inviteUrl"].split("#")[1]
    p, link, code = machine.up("--hostname", "workbench")
    done = subprocess.run([shutil.which("node"), BROWSER / "join.mjs", c.origin, spki(c), machine.folder, invite, link, code,
                           *(["nojs"] if script == "nojs" else [])], capture_output=True, text=True, timeout=120, cwd=BROWSER)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = json.loads(done.stdout)
    assert shown["filled"] == invite and shown["recovery"] == 8 and shown["problems"] == []
    assert shown["host"] == "workbench" and shown["os"].startswith("linux") and shown["address"] == "127.0.0.1"
    assert len(shown["codes"]) == 3 and code in shown["codes"] and shown["checked"] == 0 and not shown.get("sideways")
    assert "granted" in shown["outcome"] and login in shown["outcome"]
    rc, out, _ = end(p)
    assert rc == 0 and out.startswith("Logged in as workbench") and machine.status()["self"]["user"] == login
