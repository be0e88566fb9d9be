"""The main job: names, policy, what the backend sees, what stdout says (issue points 3, 4, 5, 8)."""
import json
import re
import subprocess
import time

import pytest

from cluster import CONTROL, ZONE, wait_for


def kdig(c, *args, host=None):
    return (host or c.visitor).run("kdig", f"@{c.control_host.address}", *args)


def test_stdout_is_exact(live):
    p = live.funnel_start("--https=8443", "3000")
    live.wait_live(p)
    url = f"https://{live.name}:8443/"
    assert p.out.read_text() == (f"Available on the internet:\n{url}\n\n|-- / proxy http://127.0.0.1:3000\n\n"
                                 "Press Ctrl+C to exit.\n")
    assert live.curl(url=url) == b"hello from the backend\n"
    p.kill()  # kill -9 ends a foreground funnel as well
    p.wait()
    wait_for(lambda: live.curl(url=url, check=False, timeout=3).returncode != 0, 5)
    assert live.curl() == b"hello from the backend\n"


def test_names_answer(live):
    a = kdig(live, "+short", live.name, "A").split()
    aaaa = kdig(live, "+short", live.name, "AAAA").split()
    assert a == [live.relay_hosts[0].address] and aaaa == [live.relay_hosts[0].address6]
    caa = kdig(live, "+short", live.name, "CAA")
    assert '0 issue "ca.example.net' in caa and "validationmethods=dns-01" in caa
    nx = kdig(live, f"nothing.{ZONE}", "A")
    assert "NXDOMAIN" in nx and re.search(r"SOA", nx)
    nodata = kdig(live, live.name, "MX")
    assert "NOERROR" in nodata and "SOA" in nodata and "ANSWER: 0" in nodata
    assert "REFUSED" in kdig(live, "www.example.com", "A")
    assert "NOERROR" in kdig(live, "+tcp", live.name, "A")
    assert kdig(live, "+short", ZONE, "NS").split() == ["ns1.example.net."]


def test_record_stands_before_the_first_funnel(fresh):
    assert kdig(fresh, "+short", fresh.name, "A").split() == [fresh.relay_hosts[0].address]


# Where backends look for the visitor's address, name and scheme. CGI and WSGI read "_" and "-" as one.
FORGED = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Real-IP", "X-Client-IP",
          "True-Client-IP", "CF-Connecting-IP", "X_Forwarded_For", "x_forwarded-host", "X_Real_IP", "Tailscale-User-Login",
          "Tailscale_User_Login"]


def test_forwarded_headers_are_ours(live):
    args = [a for name in FORGED for a in ("-H", f"{name}: 203.0.113.66")]
    out = json.loads(live.curl("-4", *args, "-H", "X-Kept: yes", "-H", "X_Kept: too", url=live.url + "headers"))
    seen = dict(out)
    assert [v for k, v in out if k == "x-forwarded-for"] == [live.visitor.address]
    assert seen["x-forwarded-proto"] == "https" and seen["x-forwarded-host"] == live.name and seen["host"] == live.name
    assert "203.0.113.66" not in json.dumps(out), out
    assert seen["x-kept"] == "yes" and seen["x_kept"] == "too"
    out = dict(json.loads(live.curl("-6", url=live.url + "headers")))
    assert out["x-forwarded-for"] == live.visitor.address6


def test_http_shapes(live):
    assert live.curl(url=live.url + "chunked") == b"part0\npart1\npart2\npart3\npart4\n"
    first, whole = live.curl("-N", "-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total}", url=live.url + "chunked").split()
    assert float(first) < 0.3 < float(whole)  # each part goes on as it comes
    assert live.curl(url=live.url + "until-close") == b"until close"
    assert b"200" in live.curl("-I", url=live.url)
    two = live.curl("-w", "%{num_connects}\n", "-o", "/dev/null", "-o", "/dev/null", live.url, url=live.url)
    assert two.split() == [b"1", b"0"]  # keep-alive
    sent = live.curl("-H", "Transfer-Encoding: chunked", "--data-binary", "x" * 100000, url=live.url + "post")
    assert json.loads(sent)["bytes"] == 100000
    wrong = live.curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: other.example.net")
    assert wrong == b"421"


def test_backend_away_is_a_502_page(live):
    p = live.funnel_start("--https=10000", f"http://{live.node_host.address}:3999")
    live.wait_live(p)
    assert "does not answer yet" in p.err.read_text()
    page = live.curl("-i", url=f"https://{live.name}:10000/").decode()
    assert page.startswith("HTTP/1.1 502 ")
    # The page goes to anybody: it does not say where in the node's network the service is.
    assert live.node_host.address not in page and "3999" not in page
    p.terminate()
    p.wait()


def test_bad_policy_is_refused_with_its_place(live):
    before = live.get_policy()
    bad = "{\n\t// one\n\t\"groups\": {},\n\n\n\t\"nodeAttrs\": [\n\t\t{\"attr\": }\n\t],\n}\n"
    code, body, _ = live.api("POST", "/api/v2/tailnet/-/acl", bad)
    assert code == 400
    answer = json.loads(body)
    assert answer["message"].startswith("line 7, column 12: ")
    place = answer["diagnostics"][0]["position"]
    assert (place["line"], place["column"]) == (7, 12)
    assert live.get_policy() == before


def test_etag_and_if_match(live):
    code, text, headers = live.api("GET", "/api/v2/tailnet/-/acl")
    etag = re.search(r'(?i)^etag: "([0-9a-f]{64})"', headers, re.M).group(1)
    code, body, _ = live.api("POST", "/api/v2/tailnet/-/acl", text + "// more\n", [f'If-Match: "{"0" * 64}"'])
    assert code == 412
    code, _, _ = live.api("POST", "/api/v2/tailnet/-/acl", text + "// more\n", [f'If-Match: "{etag}"'])
    assert code == 200 and live.get_policy() == text + "// more\n"
    live.set_policy(text)


def test_the_right_goes_and_comes_back(live):
    policy = live.get_policy()
    slow = live.funnel_start("--https=8443", "3000")
    live.wait_live(slow)
    # A download that would take a minute. Slow at its source: what a slow reader has in its own kernel, nobody can take back.
    running = subprocess.Popen(live.visitor.argv("curl", "-sS", "--cacert", live.pebble_root, "-o", "/dev/null",
                                                 live.url + "slow"), stderr=subprocess.PIPE)
    time.sleep(1)
    assert running.poll() is None
    try:
        start = time.monotonic()
        live.set_policy("{}")
        wait_for(lambda: live.curl(check=False, timeout=2).returncode != 0, 2)
        assert running.wait(10 - (time.monotonic() - start)) != 0
        print(f"the running visitor was cut off {time.monotonic() - start:.2f} s after the policy's change")
        assert live.status()["funnels"][0]["state"] == "blocked"
    finally:
        live.set_policy(policy)
    wait_for(lambda: live.curl(check=False, timeout=2).returncode == 0, 5)
    slow.terminate()
    slow.wait()


def test_status(live):
    s = live.status()
    assert s["schema"] == "funnel.status/1" and s["self"]["name"] == live.name
    assert [f["url"] for f in s["funnels"]] == [live.url] and s["funnels"][0]["state"] == "open"
    peer = s["peers"][0]
    assert peer["name"] == "relay1" and peer["addresses"] == [live.relay_hosts[0].address, live.relay_hosts[0].address6]
    assert re.match(r"\d{4}-\d\d-\d\dT", peer["connectedSince"])
    assert "relay1" in live.funnel("status")


def test_off_and_reset(live):
    live.funnel("--https=10000", "--bg", "3000")
    url = f"https://{live.name}:10000/"
    assert live.curl(url=url)
    live.funnel("--https=10000", "off")
    wait_for(lambda: live.curl(url=url, check=False, timeout=3).returncode != 0, 5)
    live.funnel("reset")
    assert live.status()["funnels"] == []
    wait_for(lambda: live.curl(check=False, timeout=3).returncode != 0, 5)
    live.funnel("--bg", "3000")
    assert live.curl()


def test_errors_have_three_lines(fresh):
    done = fresh.funnel("--https=444", "3000", check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 3
    done = fresh.funnel("stauts", check=False)
    assert "did you mean: funnel status?" in done.stderr
    done = fresh.funnel("--socket", "/nonexistent", "status", check=False)
    assert done.returncode == 69 and "FNL-101" in done.stderr and "fix:" in done.stderr
    done = fresh.funnel("up", "--auth-key", "fnl-auth-secret", check=False)
    assert done.returncode == 2 and "command line" in done.stderr


def test_api_needs_a_key(fresh):
    out = fresh.visitor.run("curl", "-s", "--cacert", fresh.ca.cert, "-o", "/dev/null", "-w", "%{http_code}",
                            f"https://{CONTROL}/api/v2/tailnet/-/acl")
    assert out == "401"
    assert json.loads(fresh.api("GET", "/api/v2/whoami")[1])["role"] == "owner"
