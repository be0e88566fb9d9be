"""The command's side of a request: waiting, taking up, withdrawing, and every end that a wait can have (console-api.md
sections 4.4 and 6, check 11); the kill switch as visitors and commands meet it (check 13)."""
import json
import re
import sqlite3
import subprocess
import time

import pytest

from cluster import wait_for


def ask(c, *args):
    p = c.funnel_start(*args)
    url = wait_for(lambda: next((w for w in p.err.read_text().split() if "/f/" in w), None))
    return p, url, url.rsplit("/", 1)[1]


def ends(p, code, *said, within=2.0):
    start = time.monotonic()
    assert p.wait(20) == code, p.err.read_text()
    took = time.monotonic() - start
    text = p.err.read_text()
    assert took < within and p.out.read_text() == "" and "fix:" in text, (took, text)
    for part in said:
        assert part in text, text


def requests(c):
    return json.loads(c.funnel("request", "list", "--json"))


@pytest.fixture(scope="module")
def ready(fresh):
    fresh.setup_password()
    fresh.backend()
    return fresh


def test_not_waiting_and_taking_up(ready):
    start = time.monotonic()
    done = ready.funnel("--no-wait", "--reason", "demo for the board", "--expires", "8h", "3000", check=False)
    assert done.returncode == 75 and time.monotonic() - start < 5 and done.stdout == "", done
    asked = re.search(r"funnel wait (\w{26})", done.stderr).group(1)
    assert f"/f/{asked}" in done.stderr and "valid 72 h" in done.stderr and "FNL-204" in done.stderr
    row = requests(ready)
    assert row["schema"] == "funnel.requests/1" and [r["id"] for r in row["requests"]] == [asked]
    assert row["requests"][0]["state"] == "pending" and row["requests"][0]["matchCode"] in done.stderr
    assert asked in ready.funnel("request", "list")
    html = ready.page(f"/f/{asked}")
    assert "demo for the board" in html and "name=seconds value=28800 checked" in html
    start = time.monotonic()
    done = ready.funnel("wait", asked, "--wait", "1s", check=False)
    assert done.returncode == 75 and 0.9 < time.monotonic() - start < 4
    p = ready.funnel_start("wait", asked)
    time.sleep(0.5)
    assert p.poll() is None and ready.approve(f"{ready.origin}/f/{asked}") == 303
    ready.wait_live(p)
    assert f"{ready.url}" in p.out.read_text() and ready.curl() == b"hello from the backend\n"
    assert "approved by ann@example.com" in p.err.read_text()
    # The page says the same, step by step, and says it again when asked.
    wait_for(lambda: json.loads(ready.page(f"/f/{asked}/ladder"))["ready"], 30)
    html = ready.page(f"/f/{asked}")
    assert html.count("<li data-state=ok>") == 7 and "Granted to" in html and "reachable" in html
    p.terminate()
    p.wait()
    done = ready.funnel("wait", "0" * 26, check=False)
    assert done.returncode == 1 and "FNL-116" in done.stderr
    for bad in (("wait",), ("request",), ("request", "cancel"), ("--wait", "soon", "3000"), ("--expires", "0", "3000"),
                ("--reason", "x\x1b[2J", "3000")):
        assert ready.funnel(*bad, check=False).returncode == 2, bad
    ready.set_policy("{}")


def test_every_end_of_a_wait(ready):
    p, url, asked = ask(ready, "--https=8443", "3000")
    assert ready.funnel("request", "cancel", asked) == "done\n"
    ends(p, 75, "FNL-203", "withdrawn on the device")
    done = ready.funnel("request", "cancel", asked, check=False)
    assert done.returncode == 0  # the same again
    p, url, asked = ask(ready, "--https=8443", "3000")
    with sqlite3.connect(ready.folder / "control/control.db", timeout=10) as db:
        db.execute("UPDATE requests SET expires = 1 WHERE stable_id = ?", (asked,))
    ends(p, 75, "FNL-203", "nobody decided in time", within=2.5)
    p, url, asked = ask(ready, "enable", "--https=10000")
    csrf = re.search(r'name=csrf value="([^"]*)"', ready.page(f"/f/{asked}")).group(1)
    assert ready.browser_post(f"/f/{asked}/deny", {"csrf": csrf, "reason": "not here"}) == 303
    ends(p, 77, "FNL-202", "ann@example.com", "not here")
    done = ready.funnel("enable", "--https=10000", check=False)
    assert done.returncode == 77 and "FNL-202" in done.stderr
    done = ready.funnel("request", "cancel", asked, check=False)
    assert done.returncode == 1 and "denied already" in done.stderr
    p, url, asked = ask(ready, "--https=8443", "3000")
    p.terminate()  # as Ctrl-C: the request goes on
    p.wait()
    assert asked in [r["id"] for r in requests(ready)["requests"] if r["state"] == "pending"]
    csrf = re.search(r'name=csrf value="([^"]*)"', ready.page(f"/f/{asked}")).group(1)
    assert ready.browser_post(f"/f/{asked}/report", {"csrf": csrf}) == 303
    done = ready.funnel("3000", check=False)
    assert done.returncode == 77 and "FNL-207" in done.stderr
    assert ready.browser_post(f"/f/{asked}/allow", {"csrf": csrf}) == 303


def test_kill_switch(ready):
    ready.permit()
    wait_for(lambda: ready.status()["self"]["funnel"])
    p = ready.funnel_start("3000")
    ready.wait_live(p)
    assert ready.curl() == b"hello from the backend\n"
    slow = subprocess.Popen(ready.visitor.argv("openssl", "s_client", "-quiet", "-connect", f"{ready.name}:443", "-servername", ready.name),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    slow.stdin.write(f"GET / HTTP/1.1\r\nHost: {ready.name}\r\n".encode())  # never ended: the connection stays
    slow.stdin.flush()
    time.sleep(1)
    assert slow.poll() is None
    start = time.monotonic()
    code, body, _ = ready.api("POST", "/api/v2/tailnet/-/funnel-lock", json.dumps({"reason": "a leak"}))
    assert code == 200 and json.loads(body)["locked"]
    wait_for(lambda: ready.curl(check=False, timeout=2).returncode != 0, 2, 0.1)
    assert time.monotonic() - start < 2
    slow.wait(10)
    assert time.monotonic() - start < 10
    wait_for(lambda: "a leak" in p.err.read_text(), 2)
    done = ready.funnel("--https=8443", "3000", check=False)
    assert done.returncode == 77 and "FNL-205" in done.stderr and "a leak" in done.stderr and done.stdout == ""
    assert "a leak" in ready.status()["lock"] and "LOCKED" in ready.funnel("status")
    # A restart of either end opens nothing.
    ready.processes["control"].kill()
    ready.start_control()
    ready.processes["relay1"].kill()
    ready.start_relay(0)
    wait_for(lambda: ready.status()["peers"][0]["connected"], 20)
    time.sleep(1)
    assert ready.curl(check=False, timeout=3).returncode != 0
    code, _, _ = ready.api("DELETE", "/api/v2/tailnet/-/funnel-lock")
    assert code == 200
    wait_for(lambda: ready.curl(check=False, timeout=3).returncode == 0, 15)
    assert "lock" not in ready.status()
    p.terminate()
    p.wait()


def test_a_node_that_is_deleted_while_it_waits(ready):
    ready.set_policy("{}")
    p, url, asked = ask(ready, "3000")
    node = ready.status()["self"]["nodeId"]
    code, body, _ = ready.api("DELETE", f"/api/v2/device/{node}")
    assert code in (200, 204), body
    ends(p, 77, "FNL-206")
    assert "the device was deleted" in ready.page(f"/f/{asked}")
