"""Server-sent events, what a member sees, status and metrics (docs/api.md, "Live")."""
import json
import socket
import time
import urllib.request

import pytest

import control as controllib
from cluster import wait_for
from control import Client, free_port

pytestmark = pytest.mark.loopback

EVENTS = "/api/v2/tailnet/-/events"


class Control(controllib.Control):
    def configure(self):
        super().configure()
        self.metrics = free_port()
        conf = json.loads(self.conf.read_text())
        conf["metrics"] = {"listen": f"127.0.0.1:{self.metrics}"}
        conf["probe"] = {"resolver": "off"}
        conf["events"] = {"streams": 3}
        self.conf.write_text(json.dumps(conf))
        return self

    def metric(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}{path}", timeout=10) as r:
            return r.read().decode()


@pytest.fixture(scope="module")
def c(folder):
    control = Control(folder / "events").configure().start()
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


class Events:
    """One stream, read by whoever calls."""

    def __init__(self, control, key, last=None):
        self.c = control.connect(timeout=30)
        headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        self.c.request("GET", EVENTS, headers=headers)
        self.response = self.c.getresponse()
        self.status, self.headers = self.response.status, self.response.headers
        self.last = last

    def next(self, timeout=10):
        """The next event: (type, data), comments left out."""
        self.c.sock.settimeout(timeout)
        event = {}
        while True:
            line = self.response.readline().decode().rstrip("\n")
            if not line and "data" in event:
                self.last = event.get("id", self.last)
                return event["event"], json.loads(event["data"])
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value

    def until(self, kind, timeout=10):
        seen = []
        while True:
            seen.append(self.next(timeout))
            if seen[-1][0] == kind:
                return seen

    def close(self):
        if self.c.sock:
            self.c.sock.shutdown(socket.SHUT_RDWR)
        self.c.close()


@pytest.fixture
def owner(c):
    e = Events(c, c.secret("api-key"))
    assert e.status == 200 and e.headers["Content-Type"] == "text/event-stream"
    assert e.next() == ("hello", {"type": "hello"})
    yield e
    e.close()


def test_what_changes_is_told(c, owner):
    node = c.register("told")
    assert ("devices", {"type": "devices", "nodeId": node.id}) in owner.until("devices")
    c.want(node, 443)
    seen = owner.until("readiness")
    assert ("funnels", {"type": "funnels", "nodeId": node.id}) in seen and seen[-1][1]["nodeId"] == node.id
    assert c.owner().acl('{"nodeAttrs": []} // once more').status == 200
    owner.until("policy")


def test_resume_after_a_cut(c, owner):
    first = c.register("before")
    owner.until("devices")
    last = owner.last
    owner.close()
    missed = c.register("missed")
    again = Events(c, c.secret("api-key"), last)
    seen = again.until("devices")
    while seen[-1][1].get("nodeId") != missed.id:
        seen += again.until("devices")
    assert first.id not in [d.get("nodeId") for _, d in seen]
    assert int(again.last) > int(last)
    again.close()
    # A number that we never gave, or one that is no number: everything is asked for anew.
    for wrong in ("999999999", "soon", "-1"):
        e = Events(c, c.secret("api-key"), wrong)
        assert e.next()[0] == "reset" and int(e.last) >= int(last)
        e.close()


def test_resume_from_a_trimmed_log(c):
    with c.db() as db:
        (last,) = db.execute("SELECT max(seq) FROM changes").fetchone()
        db.execute("DELETE FROM changes WHERE seq <= ?", (last - 1,))
    e = Events(c, c.secret("api-key"), last - 5)
    assert e.next()[0] == "reset"
    e.close()


def test_a_member_hears_of_their_own(c, owner):
    key = c.client_of("bob@example.com", "member").key
    e = Events(c, key)
    assert e.next()[0] == "hello"
    theirs = c.register("anns")
    assert c.owner().acl('{"nodeAttrs": []} // for nobody').status == 200
    own = c.register("bobs", "bob@example.com")
    seen = [e.next()]
    while seen[-1][1].get("nodeId") != own.id:
        seen.append(e.next())
    assert {d.get("nodeId") for _, d in seen} == {own.id} and theirs.id
    # Also after the node has gone.
    assert Client(c, own.token)("POST", "/node/v1/logout", {}).status == 204
    e.until("devices")
    e.close()
    again = Events(c, key, 0 if e.last is None else int(e.last) - 1)
    assert {d.get("nodeId") for _, d in [again.next()]} <= {own.id}
    again.close()


def test_suspension_ends_the_stream(c):
    key = c.client_of("eve@example.com", "admin").key
    e = Events(c, key)
    assert e.next()[0] == "hello"
    with c.db() as db:
        db.execute("UPDATE users SET suspended = 1 WHERE login = 'eve@example.com'")
        db.execute("INSERT INTO changes(tailnet_id, kind, at) VALUES(1, 'user', 1)")
    c.register("wakes")  # the bus reads the log
    kind, data = e.until("end")[-1]
    assert data["reason"].startswith("access")
    assert e.response.read() == b""
    assert Events(c, key).status == 401


def test_a_revoked_key_ends_its_stream(c):
    made = c.owner()("POST", "/api/v2/tailnet/-/keys", {"keyType": "api"}).json
    gone, stays = Events(c, made["key"]), Events(c, c.secret("api-key"))
    assert gone.next()[0] == stays.next()[0] == "hello"
    a = c.owner()("DELETE", f"/api/v2/tailnet/-/keys/{made['id']}")
    assert a.status == 200, a
    assert gone.until("end", 20)[-1][1]["reason"].startswith("access")
    c.register("afterwards")
    stays.until("devices")
    stays.close()


def test_three_streams_for_one_key_here(c):
    key = c.new_key("api")
    streams = [Events(c, key) for _ in range(3)]
    assert [s.status for s in streams] == [200] * 3
    e = Events(c, key)
    assert e.status == 429 and e.headers["Retry-After"]
    assert json.loads(e.response.read())["code"] == "events.too_many"
    streams.pop().close()
    wait_for(lambda: Events(c, key).status == 200, 10)
    for s in streams:
        s.close()


def test_one_who_does_not_read_is_cut_off_and_hears_why(c):
    """What the kernel keeps for that one fills, then its queue; the others go on."""
    slow, quick = Events(c, c.new_key("api")), Events(c, c.new_key("api"))
    assert slow.next()[0] == quick.next()[0] == "hello"
    with c.db() as db:
        (node,) = db.execute("SELECT id FROM nodes LIMIT 1").fetchone()
    total = 0
    while b"reason=\"slow" not in c.log.read_bytes() and total < 200000:
        with c.db() as db:
            db.executemany("INSERT INTO changes(tailnet_id, kind, topic, node_id, at) VALUES(1, 'policy', 'lock', ?, 1)",
                           [(node,)] * 5000)
        total += 5000
        c.register(f"wakes{total}")
        for _ in range(5000):
            quick.next()
    assert 0 < total < 200000
    kind, data = slow.until("end")[-1]
    assert data["reason"].startswith("slow")
    quick.close()


def test_members_see_their_own_urls(c):
    bob = c.client_of("rob@example.com", "member")
    mine, other = c.register("robs", "rob@example.com"), c.register("notrobs")
    c.want(mine, 443, 8443)
    c.want(other, 443)
    seen = bob("GET", "/api/v2/tailnet/-/funnels").json["funnels"]
    assert {f["nodeId"] for f in seen} == {mine.id} and len(seen) == 2
    everything = c.owner()("GET", "/api/v2/tailnet/-/funnels").json["funnels"]
    theirs = next(f for f in everything if f["nodeId"] == other.id)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/probe")):
        a = bob(method, f"/api/v2/funnels/{theirs['id']}{path}", "" if method == "POST" else None)
        assert a.status == 404 and a.json["code"] == "funnel.unknown", a
    assert bob("GET", "/api/v2/tailnet/-/ingresses").status == 403
    assert bob("GET", "/api/v2/tailnet/-/certificates").json == {"certificates": []}
    auditor = c.client_of("kim@example.com", "auditor")
    assert auditor("GET", f"/api/v2/funnels/{theirs['id']}").status == 200
    assert auditor("DELETE", f"/api/v2/funnels/{theirs['id']}").status == 403
    # One's own may be switched off; the node that did not hear it cannot bring it back.
    assert bob("DELETE", f"/api/v2/funnels/{seen[0]['id']}").status == 204
    left = c.want(mine, 443, 8443)
    assert [f["port"] for f in left] == [p for p in (443, 8443) if p != seen[0]["port"]]
    stream = c.stream(mine)
    off = stream.until(lambda line: "off" in line)["off"]
    assert [(o["port"], o["by"]) for o in off] == [(seen[0]["port"], "rob@example.com")]
    a = Client(c, mine.token)("PUT", "/node/v1/funnels", {"heardOff": [seen[0]["port"]], "funnels": [
        {"port": p, "kind": "http", "target": "http://127.0.0.1:3000", "source": "background"} for p in (443, 8443)]})
    assert a.status == 200 and len(a.json["funnels"]) == 2
    stream.until(lambda line: line.get("off") == [])
    stream.close()


def test_pages_of_urls(c):
    first = c.owner()("GET", "/api/v2/tailnet/-/funnels?limit=2").json
    assert len(first["funnels"]) == 2 and first["nextCursor"]
    rest = c.owner()("GET", f"/api/v2/tailnet/-/funnels?limit=100&cursor={first['nextCursor']}").json
    everything = c.owner()("GET", "/api/v2/tailnet/-/funnels").json
    assert [f["id"] for f in first["funnels"] + rest["funnels"]] == [f["id"] for f in everything["funnels"]]


def test_a_list_says_the_same_as_each_of_its_objects(c):
    """Lists are written by hand; quotes and control characters in a sentence are no harm."""
    node = c.register("quotes")
    c.want(node, 443)
    stream = c.stream(node)
    text = 'backend "a\\b" is away'
    assert Client(c, node.token)("POST", "/node/v1/report", {"time": int(time.time()), "backends": [
        {"port": 443, "ok": False, "text": text}]}).status == 204

    def listed():
        (f,) = [f for f in c.owner()("GET", "/api/v2/tailnet/-/funnels").json["funnels"] if f["nodeId"] == node.id]
        return f
    wait_for(lambda: [r for r in listed()["readiness"] if r["step"] == "backend"][0]["text"] == text, 10)
    wait_for(lambda: c.owner()("GET", f"/api/v2/funnels/{listed()['id']}").json == listed(), 10)
    stream.close()


def test_a_node_says_how_its_target_is(c):
    node = c.register("says")
    c.want(node, 443)
    stream = c.stream(node)
    call = Client(c, node.token)

    def backend():
        (f,) = call("GET", "/node/v1/funnels").json["funnels"]
        return next((r["state"], r["text"]) for r in f["readiness"] if r["step"] == "backend")
    for ok, text in ((False, "backend x does not answer"), (True, "backend x answers")):
        a = call("POST", "/node/v1/report", {"time": int(time.time()), "backends": [{"port": 443, "ok": ok, "text": text}]})
        assert a.status == 204, a
        wait_for(lambda: backend() == ("ok" if ok else "failed", text), 10)
    # Words that no screen should show are not taken; the rest of the report is.
    call("POST", "/node/v1/report", {"time": 1, "backends": [{"port": 443, "ok": False, "text": "\u202e evil"}]})
    assert backend()[0] == "ok"
    for bad in ({"backends": []}, {"time": "x", "backends": []}, {"time": 1, "backends": [{}] * 4}):
        assert call("POST", "/node/v1/report", bad).status == 400
    stream.close()


def test_status_version_metrics(c):
    owner = c.owner()
    s = owner("GET", "/api/v2/status").json
    assert s["devices"]["total"] > 0 and s["funnels"]["total"] > 0 and s["ingresses"] == {"total": 0, "connected": 0}
    assert owner("GET", "/api/v2/version").json["api"] == "v2"
    assert c.client_of("max@example.com", "member")("GET", "/api/v2/status").status == 403
    assert json.loads(c.metric("/readyz"))["status"] == "ready" and json.loads(c.metric("/healthz"))["status"] == "ok"
    lines = [l for l in c.metric("/metrics").splitlines() if l and not l.startswith("#")]
    values = {l.rsplit(" ", 1)[0]: float(l.rsplit(" ", 1)[1]) for l in lines}
    assert values["funnel_up"] == 1 and values["funnel_devices"] == s["devices"]["total"]
    assert values["funnel_urls"] == s["funnels"]["total"] and values["funnel_probes_total"] > 0
    for path in ("/metrics", "/readyz"):  # not for the world
        assert Client(c, "")("GET", path).status == 404


def test_metrics_only_on_loopback(c, folder):
    import subprocess
    conf = json.loads(c.conf.read_text())
    conf["metrics"] = {"listen": "0.0.0.0:0"}
    conf["listen"], conf["dns"] = [f"127.0.0.1:{free_port()}"], {"listen": [f"127.0.0.1:{free_port()}"]}
    bad = folder / "bad.hujson"
    bad.write_text(json.dumps(conf))
    done = subprocess.run([controllib.BIN / "funnel-control", "run", "--config", bad], capture_output=True, text=True, timeout=20)
    assert done.returncode == 78 and "not a loopback" in done.stderr
