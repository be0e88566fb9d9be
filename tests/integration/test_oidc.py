"""Sign-in through a real OpenID provider process: who is taken, who is not, and what a wrong setting says."""
import base64
import hashlib
import json
import shutil
import signal
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cluster import ROOT, wait_for
from test_browser import spki

BROWSER = ROOT / "tests/browser"
PORT = 9443


class Idp:
    def __init__(self, c):
        self.c = c
        self.issuer = f"https://{c.ca_host.address}:{PORT}"
        self.crt, self.key = c.ca.issue("idp.example.net", c.ca_host.address)
        (c.folder / "client-secret").write_text("client/secret+1\n")
        self.plain = c.control_conf.read_text()

    def start(self):
        self.c.add(self.c.ca_host, "idp", shutil.which("node"), BROWSER / "idp.mjs", self.issuer, str(PORT), self.key, self.crt,
                   f"{self.c.origin}/login/oidc/callback")
        self.c.processes["idp"].start()
        wait_for(lambda: "ready" in self.c.processes["idp"].log.read_text())

    def configure(self, **more):
        settings = {"issuer": self.issuer, "clientId": "funnel", "clientSecretFile": str(self.c.folder / "client-secret"),
                    "label": "Example SSO", "caFile": str(self.c.ca.cert), **more}
        self.c.control_conf.write_text(self.plain.rstrip().removesuffix("}") + f'"oidc": {json.dumps(settings)},\n}}\n')
        self.c.processes["control"].kill(signal.SIGTERM)
        self.c.processes["control"].start()
        self.c.wait_control()

    def spki(self):
        cert = x509.load_pem_x509_certificate(self.crt.read_bytes())
        der = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def sign_in(self, *logins):
        done = subprocess.run(self.c.visitor.argv(shutil.which("node"), BROWSER / "oidc.mjs", self.c.origin,
                                                  f"{spki(self.c)},{self.spki()}", self.c.pictures(), *logins),
                              capture_output=True, text=True, timeout=120, cwd=BROWSER)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def idp(fresh):
    if not (BROWSER / "node_modules/oidc-provider").exists() or not shutil.which("node"):
        pytest.skip("tests/browser has no node_modules: scripts/test runs npm ci there")
    i = Idp(fresh)
    i.start()
    return i


def test_nobody_is_taken_for_somebody_by_an_address(idp):
    idp.configure()
    ends = idp.sign_in("ann@example.com", "new@example.com")
    # The owner's login here is ann@example.com: the same address at a provider is not the same person.
    for end in ends.values():
        assert end["heading"] == "Single sign-on did not work" and "this server does not" in end["text"]


def test_a_verified_address_where_the_operator_asked_for_it(idp):
    idp.configure(linkVerifiedEmail=True)
    ends = idp.sign_in("eve@example.com", "ann@example.com")
    assert "this server does not" in ends["eve@example.com"]["text"]
    # Signed in as the owner, and back where she wanted to go.
    assert ends["ann@example.com"]["url"] == f"{idp.c.origin}/account"
    assert ends["ann@example.com"]["heading"] == "ann@example.com"
    # From now on the subject is the identity, whatever the setting says.
    idp.configure()
    assert idp.sign_in("ann@example.com")["ann@example.com"]["heading"] == "ann@example.com"


def test_new_people(idp):
    idp.configure(unknown="ask")
    assert "waits for approval" in idp.sign_in("bob@example.com")["bob@example.com"]["text"]
    assert "waits for approval" in idp.sign_in("bob@example.com")["bob@example.com"]["text"]
    idp.configure(unknown="member")
    ends = idp.sign_in("cy@example.com", "dee")
    assert ends["cy@example.com"]["heading"] == "cy@example.com" and ends["dee"]["heading"] == "dee@oidc"
    # Where the tailnet approves people, a new one waits for somebody who may.
    settings = ("PATCH", "/api/v2/tailnet/-/settings")
    assert idp.c.api(*settings, '{"usersApprovalOn": true}')[0] == 200
    assert "waits for approval" in idp.sign_in("gil@example.com")["gil@example.com"]["text"]
    users = json.loads(idp.c.api("GET", "/api/v2/tailnet/-/users")[1])["users"]
    gil = next(u for u in users if u["loginName"] == "gil@example.com")
    assert gil["status"] == "needs-approval" and idp.c.api("POST", f"/api/v2/users/{gil['id']}/approve", "{}")[0] == 200
    assert idp.sign_in("gil@example.com")["gil@example.com"]["heading"] == "gil@example.com"
    assert idp.c.api(*settings, '{"usersApprovalOn": false}')[0] == 200
    idp.configure(unknown="member", domains=["example.org"])
    assert "oidc.domains" in idp.sign_in("cy@example.com")["cy@example.com"]["text"]
    idp.configure(unknown="member", groups=["ops"])
    ends = idp.sign_in("ann@example.com", "cy@example.com")
    assert ends["ann@example.com"]["heading"] == "ann@example.com" and "oidc.groups" in ends["cy@example.com"]["text"]


@pytest.mark.parametrize("setting,words", [
    ({"issuer": f"https://127.0.0.1:{PORT}"}, "does not answer at oidc.issuer"),
    ({"issuer": "trailing"}, "calls itself by another name"),
    ({"clientSecretFile": "/nonexistent"}, "oidc.clientSecretFile"),
    ({"clientSecretFile": "wrong"}, "oidc.clientId, oidc.clientSecretFile"),
])
def test_a_wrong_setting_is_named(idp, setting, words):
    if setting.get("issuer") == "trailing":
        setting = {"issuer": idp.issuer + "/"}
    if setting.get("clientSecretFile") == "wrong":
        (idp.c.folder / "wrong-secret").write_text("something else")
        setting = {"clientSecretFile": str(idp.c.folder / "wrong-secret")}
    idp.configure(**setting)
    end = idp.sign_in("ann@example.com")["ann@example.com"]
    assert end["heading"] == "Single sign-on did not work" and words in end["text"]
    assert "client/secret" not in idp.c.processes["control"].log.read_text()


def test_forged_callbacks_lead_nowhere(idp):
    idp.configure()
    c = idp.c
    for query in ("", "?code=x", "?code=x&state=AAAA", "?error=access_denied"):
        page = c.visitor.run("curl", "-s", "--cacert", c.ca.cert, "-w", "%{http_code}", f"{c.origin}/login/oidc/callback{query}")
        assert page.endswith("400") and "not started here" in page
    jar = c.folder / "oidc-jar"
    url = c.visitor.run("curl", "-s", "--cacert", c.ca.cert, "-c", jar, "-b", jar, "-o", "/dev/null", "-w", "%{redirect_url}",
                        f"{c.origin}/login/oidc")
    assert url.startswith(idp.issuer) and "code_challenge_method=S256" in url and "nonce=" in url and "client" in url
    state = url.split("state=")[1].split("&")[0]
    answer = ("curl", "-s", "--cacert", c.ca.cert, "-c", jar, "-b", jar, f"{c.origin}/login/oidc/callback?code=wrong&state={state}")
    assert "did not exchange the code" in c.visitor.run(*answer)
    assert "not started here" in c.visitor.run(*answer)  # a state is good once
