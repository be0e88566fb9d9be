"""The consent page in a real browser: headless Chromium through playwright-core (issue, acceptance 6)."""
import base64
import datetime
import hashlib
import json
import re
import shutil
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cluster import CONTROL, ROOT, wait_for

BROWSER = ROOT / "tests/browser"


def spki(c):
    cert = x509.load_pem_x509_certificate((c.folder / f"{CONTROL}.crt").read_bytes())
    der = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def decide(c, url, action, *more):
    out = c.pictures()
    done = subprocess.run(c.visitor.argv(shutil.which("node"), BROWSER / "decide.mjs", url, action, "ann@example.com", c.password,
                                         spki(c), out, *more),
                          capture_output=True, text=True, timeout=120, cwd=BROWSER)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def ask(c, *args):
    p = c.funnel_start(*args)
    url = wait_for(lambda: next((w for w in p.err.read_text().split() if "/f/" in w), None))
    return p, url, re.search(r"code: ([A-Z]{4}-\d[A-Z])", p.err.read_text()).group(1)


@pytest.fixture(scope="module")
def ready(fresh):
    if not (BROWSER / "node_modules").exists() or not shutil.which("node"):
        pytest.skip("tests/browser has no node_modules: scripts/test runs npm ci there")
    fresh.setup_password()
    fresh.backend()
    return fresh


def check(shown, c, code):
    assert shown["node"].startswith("laptop (linux, ") and shown["user"] == "ann@example.com"
    assert shown["address"] == c.node_host.nat.address and shown["match"] == code
    assert "laptop" in shown["heading"] and f"https://{c.name}" in shown["heading"]
    assert '+' in shown["diff"] and '"funnel"' in shown["diff"] and shown["checked"] == "autogroup:member"
    assert shown["choices"] == 3


def test_deny(ready):
    p, url, code = ask(ready, "--https=10000", "3000")
    shown = decide(ready, url, "deny", "nojs")
    check(shown, ready, code)
    assert "denied" in shown["outcome"] and p.wait(5) == 77
    assert "by the browser" in p.err.read_text()


def test_approve_and_the_command_goes_on_within_a_second(ready):
    before = ready.get_policy()
    p, url, code = ask(ready, "--https=8443", "3000")
    live_at = {}

    def watch():
        wait_for(lambda: "Press Ctrl+C" in p.out.read_text(), 60, pause=0.01)
        live_at["t"] = time.time()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    shown = decide(ready, url, "approve")
    check(shown, ready, code)
    assert "granted" in shown["outcome"] and shown["sideways"] is False and shown["problems"] == [] and shown["outside"] == []
    watcher.join(60)
    # The later of approval committed and chain stored, from control's log, to the millisecond.
    log = ready.processes["control"].log.read_text()
    times = [m.group(1) for m in re.finditer(r"^(\S+Z) funnel-control info (?:request\.approved|certificate\.issued)", log, re.M)]
    later = max(datetime.datetime.fromisoformat(t.replace("Z", "+00:00")).timestamp() for t in times)
    print(f"live {live_at['t'] - later:.3f} s after the later of approval and chain")
    assert live_at["t"] - later < 1.0
    assert ready.curl(url=f"https://{ready.name}:8443/") == b"hello from the backend\n"
    after = ready.get_policy()
    assert "autogroup:member" in after and all(line in after.splitlines() for line in before.splitlines())
    p.terminate()
    p.wait()
    assert (ready.pictures() / "consent-phone.png").stat().st_size > 10000
