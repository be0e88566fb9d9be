"""Readiness of public URLs: each fault shows at its own step, in time and with its own fix (acceptance check 12)."""
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

from cluster import ZONE, wait_for

STEPS = ["permitted", "https", "dns", "certificate", "relay", "backend", "reachable"]
IN_TIME = 30


def funnels(c):
    code, text, _ = c.api("GET", "/api/v2/tailnet/-/funnels")
    assert code == 200, text
    return json.loads(text)["funnels"]


def ladder(c):
    (f,) = funnels(c)
    return {r["step"]: r for r in f["readiness"]}


def ready(c):
    (f,) = funnels(c)
    assert [r["step"] for r in f["readiness"]] == STEPS
    assert f["ready"] == all(r["state"] == "ok" for r in f["readiness"])
    return f["ready"]


def turns(c, step, code, state="failed"):
    """The step is in that state for that cause; how long it took. `funnel status` says the same."""
    start = time.monotonic()
    wait_for(lambda: (ladder(c)[step]["state"], ladder(c)[step]["code"]) == (state, code), IN_TIME, 0.3)
    took = time.monotonic() - start
    rung = ladder(c)[step]
    assert rung["text"] and rung["fix"], rung
    print(f"{code}: {took:.1f} s: {rung['text']}")
    assert not funnels(c)[0]["ready"]
    return rung


def told_on_the_node(c, step, code):
    wait_for(lambda: next(r for r in c.status()["funnels"][0]["readiness"] if r["step"] == step)["code"] == code, 10)
    (f,) = c.status()["funnels"]
    text = c.funnel("status")
    rung = next(r for r in f["readiness"] if r["step"] == step)
    assert not f["ready"] and rung["text"] in text and rung["fix"] in text, text


def green_again(c):
    wait_for(lambda: ready(c), 60, 0.5)


def test_all_seven_are_ok(live):
    wait_for(lambda: ready(live), 40)
    r = ladder(live)
    assert "203.0.113" in r["dns"]["text"] or live.relay_hosts[0].address in r["dns"]["text"]
    assert r["reachable"]["ms"] >= 1 and "relay1" in r["reachable"]["text"]
    (f,) = live.status()["funnels"]
    assert f["ready"] and [x["step"] for x in f["readiness"]] == STEPS and all(x["at"] for x in f["readiness"])
    text = live.funnel("status")
    assert text.count(" s ago)") == 7 and "fix:" not in text, text


def test_backend_down(live):
    p = live.processes["backend-3000"]
    p.kill()
    turns(live, "backend", "backend.down")
    told_on_the_node(live, "backend", "backend.down")
    assert ladder(live)["reachable"]["state"] == "ok"  # the way to the node is good
    p.start()
    green_again(live)


def test_relay_down(live):
    p = live.processes["relay1"]
    p.kill()
    turns(live, "relay", "relay.down")
    turns(live, "reachable", "reachable.no_connection")
    told_on_the_node(live, "relay", "relay.no_session")
    assert live.status()["funnels"][0]["state"] == "waiting"
    p.start()
    green_again(live)


def test_attribute_revoked(live):
    before = live.get_policy()
    live.set_policy("{}")
    turns(live, "permitted", "permitted.attribute_missing")
    turns(live, "reachable", "reachable.refused")
    told_on_the_node(live, "permitted", "permitted.attribute_missing")
    live.set_policy(before)
    green_again(live)


@pytest.mark.parametrize("fault, mend, code", [
    ("UPDATE users SET suspended = 1", "UPDATE users SET suspended = 0", "permitted.suspended"),
    ("UPDATE nodes SET authorized = 0", "UPDATE nodes SET authorized = 1", "permitted.not_approved"),
    ("UPDATE nodes SET key_expires = 1000", "UPDATE nodes SET key_expires = NULL", "permitted.key_expired")])
def test_owner_or_device_may_no_longer(live, fault, mend, code):
    """Each cause has its own sentence and fix; written to the store as the API's calls do it."""
    def write(sql):
        with live_db(live) as db:
            db.execute(sql)
            db.execute("INSERT INTO changes(tailnet_id, kind, node_id, at) SELECT 1, 'node', id, 1 FROM nodes")

    def seen():  # a suspended person's key is refused: read from the store
        with live_db(live) as db:
            return db.execute("SELECT state, code FROM probes WHERE step = 'permitted'").fetchone()
    write(fault)
    wait_for(lambda: seen() == ("failed", code), IN_TIME, 0.3)
    write(mend)
    live.processes["agent"].stop()  # one whose key has ended does not ask again by itself
    live.processes["agent"].start()
    before = live.get_policy()
    live.set_policy(before + "// a save makes control read its log\n")
    live.set_policy(before)
    green_again(live)


def test_kill_switch(live):
    assert live.api("POST", "/api/v2/tailnet/-/funnel-lock", '{"reason": "a test"}')[0] == 200
    turns(live, "permitted", "permitted.locked")
    turns(live, "reachable", "reachable.refused")
    assert live.api("DELETE", "/api/v2/tailnet/-/funnel-lock")[0] == 200
    green_again(live)


def test_port_not_given(live):
    before = live.get_policy()
    live.set_policy('{"nodeAttrs": [{"target": ["autogroup:member"], "attr": ["funnel"], '
                    '"app": {"openfunnel.org/cap/funnel": [{"ports": ["8443"]}]}}]}')
    rung = turns(live, "permitted", "permitted.port")
    assert "443" in rung["text"]
    live.set_policy(before)
    green_again(live)


def test_https_off(live):
    assert live.api("PATCH", "/api/v2/tailnet/-/settings", '{"httpsEnabled": false}')[0] == 200
    turns(live, "https", "https.off")
    assert ladder(live)["permitted"]["state"] == "ok"
    assert live.api("PATCH", "/api/v2/tailnet/-/settings", '{"httpsEnabled": true}')[0] == 200
    green_again(live)


def resolver(live, keep):
    """The resolver of control's host with, or without, knowledge of our zone: its delegation is gone."""
    p = live.processes["unbound-control"]
    conf = live.folder / "unbound-control.conf"
    text = conf.read_text()
    if not keep:
        conf.with_suffix(".kept").write_text(text)
        head, _, _ = text.partition("stub-zone:")
        conf.write_text(head.replace("remote-control:", f'    local-zone: "{ZONE}." always_nxdomain\nremote-control:'))
    else:
        conf.write_text(conf.with_suffix(".kept").read_text())
    p.kill()
    p.start()


def test_dns_removed(live):
    with live_db(live) as db:
        db.execute("UPDATE nodes SET created = created - 3600")
    resolver(live, keep=False)
    rung = turns(live, "dns", "dns.not_public")
    assert "does not exist" in rung["text"] and "NS records" in rung["fix"]
    told_on_the_node(live, "dns", "dns.not_public")
    resolver(live, keep=True)
    green_again(live)


def test_dns_delay_has_its_own_sentence(live):
    with live_db(live) as db:
        db.execute("UPDATE nodes SET created = unixepoch()")
    resolver(live, keep=False)
    rung = turns(live, "dns", "dns.delay", "waiting")
    assert "minute" in rung["text"]
    resolver(live, keep=True)
    green_again(live)


def test_own_name_server_unreachable(live):
    """Nobody gets through to port 53 of the control server, itself included."""
    rules = f"table inet fault {{ chain come {{ type filter hook input priority 0; udp dport 53 ip daddr {live.control_host.address} drop; }}; }}"
    subprocess.run(live.control_host.argv("nft", "-f", "-"), input=rules, text=True, check=True)
    turns(live, "dns", "dns.no_answer")
    live.control_host.run("nft", "delete", "table", "inet", "fault")
    green_again(live)


def live_db(live):
    import sqlite3
    return sqlite3.connect(live.folder / "control" / "control.db", timeout=10)


def test_certificate_expired(live):
    """The store holds a chain of yesterday's: made with openssl for the node's name."""
    with live_db(live) as db:
        (good,) = db.execute("SELECT chain FROM certificates").fetchone()
    key, pem = live.folder / "old.key", live.folder / "old.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", pem, "-subj", "/CN=old", "-addext", f"subjectAltName=DNS:{live.name}", "-not_before", "20200101000000Z",
                    "-not_after", "20200201000000Z"], capture_output=True)
    if not pem.exists():  # OpenSSL before 3.4 has no -not_before
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                        live.folder / "old.csr", "-subj", "/CN=old", "-addext", f"subjectAltName=DNS:{live.name}"], check=True,
                       capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", live.folder / "old.csr", "-signkey", key, "-out", pem, "-days", "-1",
                        "-copy_extensions", "copy"], check=True, capture_output=True)
    with live_db(live) as db:
        db.execute("UPDATE certificates SET chain = ?", (pem.read_text(),))
    rung = turns(live, "certificate", "certificate.expired")
    assert "expired on" in rung["text"] and "renew" in rung["fix"]
    turns(live, "reachable", "reachable.other_certificate")
    with live_db(live) as db:
        db.execute("UPDATE certificates SET chain = ?", (good,))
    green_again(live)


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static volatile long *offset;
__attribute__((constructor)) static void open_it(void)
{
    int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY | O_CLOEXEC);
    offset = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
}
int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    real = real ? real : (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, t);
    if (rc == 0 && id == CLOCK_REALTIME && offset) { /* others start before us */
        t->tv_sec += *offset;
    }
    return rc;
}
time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return out ? (*out = t.tv_sec) : t.tv_sec;
}
"""


@pytest.fixture(scope="module")
def clock(live):
    """A program that is started with it has a clock of its own, which can be set while it runs."""
    lib = live.folder / "clock.so"
    source = live.folder / "clock.c"
    source.write_text(CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", lib, source, "-ldl"], check=True)

    class Clock:
        def file(self, name):
            return live.folder / f"clock-{name}"

        def set(self, name, seconds):
            with self.file(name).open("r+b") as f:
                f.write(seconds.to_bytes(8, "little", signed=True))

        def give(self, name):
            self.file(name).write_bytes(bytes(4096))
            p = live.processes[name]
            p.stop()
            p.env = {"LD_PRELOAD": str(lib), "CLOCK_OFFSET": str(self.file(name))}
            p.start()
    return Clock()


@pytest.mark.parametrize("who, step, code", [("agent", "certificate", "certificate.clock"), ("relay1", "relay", "relay.clock"),
                                             ("control", "certificate", "certificate.clock")])
def test_clock_an_hour_ahead(live, clock, who, step, code):
    """Of the node, of the relay, of control itself; set while they run."""
    clock.give(who)
    if who == "control":
        live.wait_control()
    green_again(live)
    clock.set(who, 3600)
    try:
        rung = turns(live, step, code)
        assert ("60 min" in rung["text"] or "59 min" in rung["text"]) and "timedatectl" in rung["fix"], rung
    finally:
        clock.set(who, 0)
    green_again(live)


def test_node_away(live):
    live.processes["agent"].kill()
    turns(live, "relay", "relay.node_offline")
    turns(live, "backend", "backend.node_offline", "unknown")
    turns(live, "reachable", "reachable.refused")
    live.processes["agent"].start()
    wait_for(lambda: live.status()["control"]["connected"], 20)
    green_again(live)


def test_never_ok_while_no_visitor_gets_through(live):
    """The relay hangs: control's stream to it stays open, and yet nothing is called reachable."""
    import signal
    live.processes["relay1"].p.send_signal(signal.SIGSTOP)
    try:
        turns(live, "reachable", "reachable.late")
    finally:
        live.processes["relay1"].p.send_signal(signal.SIGCONT)
    green_again(live)


# ---- the API ----

def test_one_and_probe_and_off(live):
    (f,) = funnels(live)
    code, text, headers = live.api("GET", f"/api/v2/funnels/{f['id']}")
    one = json.loads(text)
    assert code == 200 and one["url"] == live.url and one["port"] == 443 and one["target"] == "http://127.0.0.1:3000"
    etag = next(h.split(": ", 1)[1].strip() for h in headers.splitlines() if h.lower().startswith("etag"))
    assert live.api("GET", f"/api/v2/funnels/{f['id']}", headers=[f"If-None-Match: {etag}"])[0] == 304
    time.sleep(2.1)
    before = one["readiness"][-1]["at"]
    code, text, _ = live.api("POST", f"/api/v2/funnels/{f['id']}/probe", "")
    assert code == 200 and json.loads(text)["readiness"][-1]["at"] > before
    assert live.api("DELETE", f"/api/v2/funnels/{f['id']}", headers=['If-Match: "wrong"'])[0] == 412
    assert live.curl() == b"hello from the backend\n"
    other = live.funnel_start("--https=8443", "3000")
    live.wait_live(other)
    for mine in funnels(live):
        assert live.api("DELETE", f"/api/v2/funnels/{mine['id']}")[0] == 204
    assert live.api("GET", f"/api/v2/funnels/{f['id']}")[0] == 404
    wait_for(lambda: live.curl(check=False).returncode != 0, 5)
    assert other.wait(10) == 77 and "switched off" in other.err.read_text() and "ann@example.com" in other.err.read_text()
    wait_for(lambda: live.status()["funnels"] == [], 10)
    # Also after a restart of the node: it is off, not away.
    live.processes["agent"].kill()
    live.processes["agent"].start()
    wait_for(lambda: live.status()["control"]["connected"], 20)
    assert live.status()["funnels"] == [] and funnels(live) == []
    log = json.loads(live.api("GET", "/api/v2/tailnet/-/logging/configuration?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z")[1])
    off = [e for e in log["logs"] if e["action"] == "FUNNEL.OFF"]
    assert len(off) == 2 and off[0]["target"]["name"] == "laptop" and off[0]["old"]
    live.funnel("--bg", "3000")  # and may be asked for again
    green_again(live)


def test_off_while_the_node_is_away(live):
    (f,) = funnels(live)
    live.processes["agent"].kill()
    assert live.api("DELETE", f"/api/v2/funnels/{f['id']}")[0] == 204
    live.processes["agent"].start()
    wait_for(lambda: live.status()["control"]["connected"] and live.status()["funnels"] == [], 20)
    assert funnels(live) == []
    live.funnel("--bg", "3000")
    green_again(live)


def test_certificates_and_ingresses(live):
    (cert,) = json.loads(live.api("GET", "/api/v2/tailnet/-/certificates")[1])["certificates"]
    assert cert["names"] == [live.name] and cert["state"] == "issued" and cert["notAfter"] > cert["renewal"] > cert["notBefore"]
    assert live.api("POST", f"/api/v2/certificates/{cert['id']}/renew", "")[0] == 429
    with live_db(live) as db:
        db.execute("UPDATE certificates SET updated = updated - 7200")
    assert live.api("POST", f"/api/v2/certificates/{cert['id']}/renew", "")[0] == 202
    assert live.api("POST", "/api/v2/certificates/none/renew", "")[0] == 404

    def renewed():
        (now,) = json.loads(live.api("GET", "/api/v2/tailnet/-/certificates")[1])["certificates"]
        return now["state"] == "issued" and now["serial"] != cert["serial"]
    wait_for(renewed, 30)
    green_again(live)
    (relay,) = json.loads(live.api("GET", "/api/v2/tailnet/-/ingresses")[1])["ingresses"]
    assert relay["name"] == "relay1" and relay["connected"] and relay["sessions"] == 1 and relay["since"]
    assert live.relay_hosts[0].address in relay["addresses"] and relay["visitors"] > 0
