"""Approval without a browser; the browser's turn is in test_browser.py."""
import json
import re
import time

from cluster import wait_for


def ask(c, *args):
    p = c.funnel_start(*args)
    url = wait_for(lambda: next((w for w in p.err.read_text().split() if "/f/" in w), None))
    return p, url


def test_deny_then_cool_down_then_approve(fresh):
    fresh.setup_password()
    fresh.backend()
    p, url = ask(fresh, "3000")
    text = p.err.read_text()
    code = re.search(r"code: ([A-Z]{4}-\d[A-Z])", text).group(1)
    html = fresh.page(url.removeprefix("https://control.example.net"))
    for part in (code, "laptop", "ann@example.com", fresh.node_host.nat.address, "&quot;attr&quot;:   [&quot;funnel&quot;]"):
        assert part in html, part
    assert re.search(r'name=grant value="autogroup:member" checked', html)
    csrf = re.search(r'name=csrf value="([^"]*)"', html).group(1)
    path = url.removeprefix("https://control.example.net")
    assert fresh.browser_post(f"{path}/deny", {"csrf": "0" * 64, "reason": "x"}) == 403
    assert fresh.browser_post(f"{path}/deny", {"csrf": csrf, "reason": "not today"}) == 303
    assert p.wait(10) == 77
    assert "not today" in p.err.read_text() and p.out.read_text() == ""
    done = fresh.funnel("3000", check=False)
    assert done.returncode == 77 and "10 min" in done.stderr
    # Another port is another request.
    before = fresh.get_policy()
    p, url = ask(fresh, "--https=8443", "3000")
    start = time.monotonic()
    assert fresh.approve(url) == 303
    fresh.wait_live(p)
    assert time.monotonic() - start < 15
    after = fresh.get_policy()
    assert "autogroup:member" in after and all(line in after.splitlines() for line in before.splitlines())
    p.terminate()
    p.wait()


def test_same_question_same_request(fresh):
    fresh.set_policy("{}")
    p, url = ask(fresh, "--https=10000", "3000")
    p.kill()
    p.wait()
    p, url2 = ask(fresh, "--https=10000", "3000")
    assert url == url2
    # Granted by policy instead of by the page: the command goes on all the same.
    fresh.permit()
    fresh.wait_live(p)
    p.terminate()
    p.wait()


def test_a_page_shown_before_a_policy_change_is_not_applied(fresh):
    fresh.set_policy("{}")
    p, url = ask(fresh, "--https=8443", "enable")
    path = url.removeprefix("https://control.example.net")
    fields = fresh.approval_form(path)
    fresh.set_policy("{\n}\n")
    assert fresh.browser_post(f"{path}/approve", fields) == 409
    assert "funnel" not in fresh.get_policy()
    assert fresh.approve(url) == 303
    assert p.wait(10) == 0


def test_a_policy_that_is_edited_elsewhere(fresh):
    """No button: the page shows what to commit; the request is granted when the policy comes from there."""
    fresh.set_policy("{}")
    lock = {"aclsExternallyManagedOn": True, "aclsExternalLink": "https://git.example.com/acl?a=1&b=2"}
    assert fresh.api("PATCH", "/api/v2/tailnet/-/settings", json.dumps(lock))[0] == 200
    try:
        p, url = ask(fresh, "--https=10000", "enable")
        path = url.removeprefix("https://control.example.net")
        html = fresh.page(path)
        assert "id=locked" in html and "https://git.example.com/acl?a=1&amp;b=2" in html and "autogroup:member" in html
        assert "id=approve" not in html and "id=deny" in html
        csrf = re.search(r'name=csrf value="([^"]*)"', html).group(1)
        assert fresh.browser_post(f"{path}/approve", {"csrf": csrf, "etag": "x", "grant": "autogroup:member"}) == 409
        assert "funnel" not in fresh.get_policy() and p.poll() is None
        fresh.permit()
        assert p.wait(10) == 0
    finally:
        assert fresh.api("PATCH", "/api/v2/tailnet/-/settings", json.dumps({"aclsExternallyManagedOn": False}))[0] == 200


def test_login_is_needed_and_tries_are_counted(fresh):
    out = fresh.visitor.run("curl", "-s", "--cacert", fresh.ca.cert, "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}",
                            "https://control.example.net/f/00000000000000000000000000")
    assert out == "303 https://control.example.net/login"
    codes = []
    for _ in range(8):
        codes.append(int(fresh.visitor.run(
            "curl", "-s", "--cacert", fresh.ca.cert, "-o", "/dev/null", "-w", "%{http_code}", "-H",
            "Origin: https://control.example.net", "-d", "login=ann@example.com&password=wrong-wrong-wrong",
            "https://control.example.net/login")))
    assert codes[0] == 401 and codes[-1] == 429
    out = fresh.visitor.run("curl", "-s", "--cacert", fresh.ca.cert, "-o", "/dev/null", "-w", "%{http_code}", "-H",
                            "Origin: https://evil.example", "-d", "login=a&password=b", "https://control.example.net/login")
    assert out == "403"
    assert json.loads(fresh.api("GET", "/api/v2/tailnet/-/devices")[1])["devices"][0]["user"] == "ann@example.com"


def test_a_denied_background_funnel_leaves_nothing_behind(fresh):
    """What was denied must not go public by itself on the day that somebody grants the right for another reason."""
    fresh.set_policy("{}")
    p, url = ask(fresh, "--bg", "--https=10000", "3000")
    path = url.removeprefix("https://control.example.net")
    csrf = re.search(r'name=csrf value="([^"]*)"', fresh.page(path)).group(1)
    assert fresh.browser_post(f"{path}/deny", {"csrf": csrf, "reason": ""}) == 303
    assert p.wait(10) == 77
    assert fresh.status()["funnels"] == []
    fresh.permit()
    wait_for(lambda: fresh.status()["self"]["funnel"])
    time.sleep(1)
    assert fresh.curl(url=f"https://{fresh.name}:10000/", check=False, timeout=3).returncode != 0
    # The same command, now permitted, is kept.
    fresh.funnel("--bg", "--https=10000", "3000")
    assert [f["source"] for f in fresh.status()["funnels"]] == ["background"]
    done = fresh.funnel("--https=10000", "3001", check=False)
    assert done.returncode == 1 and "FNL-108" in done.stderr and "in the background" in done.stderr
    assert fresh.curl(url=f"https://{fresh.name}:10000/") == b"hello from the backend\n"
    fresh.funnel("--https=10000", "off")
