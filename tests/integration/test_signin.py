"""Signing in as a person does: a real browser with a virtual authenticator, and forged requests without one."""
import json
import shutil
import subprocess

import pytest

from cluster import ROOT
from test_browser import spki

BROWSER = ROOT / "tests/browser"


@pytest.fixture(scope="module")
def first(fresh):
    """A whole installation whose owner has not come yet; the browser is that owner."""
    if not (BROWSER / "node_modules").exists() or not shutil.which("node"):
        pytest.skip("tests/browser has no node_modules: scripts/test runs npm ci there")
    out = fresh.pictures()
    done = subprocess.run(fresh.visitor.argv(shutil.which("node"), BROWSER / "signin.mjs", fresh.origin, spki(fresh), out,
                                             fresh.secret("setup-code")),
                          capture_output=True, text=True, timeout=180, cwd=BROWSER)
    assert done.returncode == 0, done.stderr[-3000:]
    return fresh, json.loads(done.stdout)


def test_setup_by_passkey_then_every_way_in(first):
    c, shown = first
    expected = [p for p in shown["problems"] if "status of 40" not in p]  # the browser's console names refused forms
    assert expected == []
    assert shown["filled"] == c.secret("setup-code") and "#" not in shown["address"]
    assert len(shown["codes"]) == 8 and len(set(shown["codes"])) == 8
    assert shown["passkeys"] == 1 and "only way in" in shown["lastKept"]
    assert shown["byPasskey"] == f"{c.origin}/console/" and shown["qr"] == 1
    assert "not the code of now" in shown["wrongCode"]
    assert "wrong, old or used" in shown["usedCode"] and "wrong, old or used" in shown["usedRecovery"]
    assert shown["codesLeft"].startswith("7 left")


def test_what_is_kept_is_hashed_or_sealed(first):
    c, shown = first
    database = b"".join(p.read_bytes() for p in c.folder.rglob("control.db*"))
    assert database
    for secret in [*shown["codes"], "correct horse battery", c.secret("setup-code")]:
        assert secret.encode() not in database
    logs = c.processes["control"].log.read_text()
    assert "method=passkey" in logs and "method=recovery" in logs
    for secret in [*shown["codes"], "correct horse battery", c.secret("setup-code")]:
        assert secret not in logs


def post(c, path, body, *headers, jar=None):
    argv = ["curl", "-s", "--cacert", c.ca.cert, "-o", c.folder / "answer", "-w", "%{http_code}", "-H",
            "Content-Type: application/json", "--data", body]
    for h in headers:
        argv += ["-H", h]
    if jar:
        argv += ["-b", jar, "-c", jar]
    return int(c.visitor.run(*argv, f"{c.origin}{path}")), (c.folder / "answer").read_text()


def test_scripts_of_other_sites_get_nothing(first):
    c, _ = first
    assert post(c, "/login/passkey/start", "{}")[0] == 403
    assert post(c, "/login/passkey/start", "{}", "Origin: https://evil.example")[0] == 403
    status, text = post(c, "/login/passkey/start", "{}", f"Origin: {c.origin}", jar=c.folder / "flow")
    assert status == 200 and json.loads(text)["allow"] == []  # no list of anybody's passkeys
    assert post(c, "/account/passkey/start", "{}", f"Origin: {c.origin}")[0] == 401
    assert post(c, "/verify/passkey/start", "{}", f"Origin: {c.origin}")[0] == 401
    assert post(c, "/setup/passkey", "{}", f"Origin: {c.origin}")[0] == 400


def test_a_challenge_is_good_for_one_try(first):
    c, _ = first
    jar = c.folder / "once"
    answer = json.dumps({"id": "AAAA", "clientData": "AAAA", "authData": "AAAA", "signature": "AAAA"})
    origin = f"Origin: {c.origin}"
    assert post(c, "/login/passkey", answer, origin)[0] == 400
    post(c, "/login/passkey/start", "{}", origin, jar=jar)
    assert "not accepted" in post(c, "/login/passkey", answer, origin, jar=jar)[1]
    assert "too old" in post(c, "/login/passkey", answer, origin, jar=jar)[1]
