"""Ten thousand requests that nobody sane sends, over every call that OpenAPI names, by an owner, a member and nobody.

Whatever comes: an error is JSON with message, code and requestId; nothing answers 5xx; the server is alive after it, without a
leak under AddressSanitizer; and no secret stands in an error or in the log.
"""
import contextlib
import http.client
import json
import os
import random
import urllib.parse

import control as controllib
import pytest
from cluster import BIN

pytestmark = pytest.mark.loopback

REQUESTS = 10000
SEED = int(os.environ.get("OPENFUNNEL_SEED", "1"))
NEVER_ENDS = ("/events", "/wait")
STRANGE = ["", "0", "-1", "9" * 30, "..", "%2e%2e%2f", "%00", "%ff%fe", "'\" OR 1=1 --", "<script>", "a" * 300, "\u202egnp", "null", "*",
           "{id}", "100.64.1.1", "tag:x", "autogroup:member", "ann@example.com", "%", "%zz", ";", "?", "#", "true"]
VALUES = [None, True, False, 0, -1, 2**63, 2**70, 1.5, "", "x", "\0", "\ud800", "a" * 5000, [], [[]], [None], {}, {"a": {"b": []}}, "*",
          "443", [443], [0], ["tag:x"], "member", "owner", "auth", "client", "api", "https://example.org/", "http://127.0.0.1/", "2026-01-01T00:00:00Z"]


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    asan = BIN.parent.parent / "asan/bin"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controllib, "BIN", asan if (asan / "funnel-control").exists() else BIN)
        c = controllib.Control(tmp_path_factory.mktemp("fuzz")).configure().start()
        yield c
        c.stop()  # what the sanitizers and the log say fails here


class Fuzzer:
    def __init__(self, control):
        self.control, self.r = control, random.Random(SEED)
        self.seen, self.secrets = {}, set()
        self.nodes = [control.register(f"n{i}") for i in range(4)]
        self.secrets |= {n.token for n in self.nodes}
        for login, role in (("bo@example.com", "admin"), ("cy@example.com", "member"), ("di@example.com", "auditor")):
            control.add_user(login, role)
        owner = control.owner()
        keys = {w: control.new_key("api", w) for w in ("bo@example.com", "cy@example.com", "di@example.com")}
        self.secrets |= {owner.key, *keys.values()}
        self.callers = [owner, owner, owner] + [controllib.Client(control, k) for k in keys.values()] + [
            controllib.Client(control, "fnl-api-nobody"), controllib.Client(control, "\x7f")]
        document = owner("GET", "/api/v2/openapi.json").json
        self.calls = [(m.upper(), p, op) for p, ops in document["paths"].items() for m, op in ops.items()
                      if m in ("get", "post", "put", "patch", "delete") and not p.endswith(NEVER_ENDS)]
        self.ids = [n.id for n in self.nodes] + [u["id"] for u in owner("GET", "/api/v2/tailnet/-/users").json["users"]
                                                if u["loginName"] == "di@example.com"]
        for key in owner("GET", "/api/v2/tailnet/-/keys?all=true").json["keys"]:
            if key.get("keyType") == "auth":
                self.ids.append(key["id"])
        self.members = sorted({name for _, _, op in self.calls for name in self.names_in(op)} | {"bogus", "__proto__"})

    @staticmethod
    def names_in(part):
        found = []
        if isinstance(part, dict):
            found += part.get("properties", {}).keys() if isinstance(part.get("properties"), dict) else []
            for v in part.values():
                found += Fuzzer.names_in(v)
        elif isinstance(part, list):
            for v in part:
                found += Fuzzer.names_in(v)
        return found

    def parameter(self, name):
        if name == "tailnet":
            return self.r.choice(["-", "-", "-", "-", self.r.choice(STRANGE)])
        return self.r.choice(self.ids) if self.r.random() < .7 else self.r.choice(STRANGE)

    def path(self, template):
        parts = []
        for piece in template.split("/"):
            if piece.startswith("{"):
                value = self.parameter(piece[1:-1])
                piece = value if self.r.random() < .2 else urllib.parse.quote(value, safe="%")
                piece = piece.encode("utf-8", "surrogatepass").decode("latin-1") if not piece.isascii() else piece
            parts.append(piece.replace(" ", "%20"))
        path = "/".join(parts)
        if not path.startswith("/api"):
            path = "/api/v2" + path
        if self.r.random() < .3:
            names = ["limit", "cursor", "start", "end", "fields", "state", "details", "type", "previewFor", "actor", "from", "to", "all", "x"]
            path += "?" + urllib.parse.urlencode({self.r.choice(names): self.r.choice(STRANGE) for _ in range(self.r.randint(1, 3))})
        return path.split("#")[0]

    def value(self, depth=0):
        if depth < 2 and self.r.random() < .3:
            return {self.r.choice(self.members): self.value(depth + 1) for _ in range(self.r.randint(0, 4))}
        return self.r.choice(VALUES)

    def body(self, method):
        if method in ("GET", "DELETE") and self.r.random() < .95:
            return None
        kind = self.r.random()
        if kind < .7:
            text = json.dumps({self.r.choice(self.members): self.value() for _ in range(self.r.randint(0, 5))})
        elif kind < .8:
            text = json.dumps(self.value())
        elif kind < .85:
            return bytes(self.r.randrange(256) for _ in range(self.r.randint(0, 200)))
        else:
            text = self.r.choice(["", "{", "[" * 5000, '{"a":1,"a":2}', "null", "nul", '"\\ud800"', "{}\0", "// x\n{}", '{"nodeAttrs": 5}'])
        raw = text.encode("utf-8", "surrogatepass")
        if raw and self.r.random() < .1:
            at = self.r.randrange(len(raw))
            raw = raw[:at] + bytes([self.r.randrange(256)]) + raw[at + 1:]
        return raw

    def headers(self):
        out = {}
        if self.r.random() < .2:
            out["If_Match"] = self.r.choice(['"x"', "*", '"ts-default"', "W/", '"', "a" * 300])
        if self.r.random() < .1:
            out["Idempotency_Key"] = self.r.choice(["k1", "k2", "", "a" * 500, "\x01"])
        if self.r.random() < .1:
            out["If_None_Match"] = self.r.choice(["*", '"x"', ","])
        if self.r.random() < .2:
            out["Content_Type"] = self.r.choice(["text/plain", "application/xml", "application/json; charset=x", "multipart/form-data", ""])
        if self.r.random() < .1:
            out["Accept"] = self.r.choice(["application/json", "application/hujson", "*/*", "image/png", "a" * 200])
        return out

    def one(self):
        method, template, _ = self.r.choice(self.calls)
        if self.r.random() < .05:
            method = self.r.choice(["PUT", "PATCH", "DELETE", "POST", "GET", "OPTIONS", "TRACE", "BREW"])
        path, body, headers = self.path(template), self.body(method), self.headers()
        caller = self.r.choice(self.callers)
        try:
            answer = caller(method, path, body, **headers)
        except (ValueError, http.client.InvalidURL, http.client.CannotSendRequest):  # our own library refuses to send it
            caller.c = None
            return
        self.judge(f"{method} {path!r} {body!r} {headers}", answer)

    def judge(self, what, answer):
        self.seen[answer.status] = self.seen.get(answer.status, 0) + 1
        assert answer.status < 500, (what, answer)
        if answer.status >= 400:
            problem = answer.json
            for member in ("message", "code", "requestId"):
                assert problem.get(member) and isinstance(problem[member], str), (what, answer)
            assert not any(s in answer.text for s in self.secrets), (what, "a secret in an error")
        elif answer.status in (200, 201) and answer.raw[:1] == b"{":
            with contextlib.suppress(ValueError):
                made = answer.json
                self.secrets |= {made[k] for k in ("key", "secret", "inviteUrl") if isinstance(made.get(k), str) and len(made[k]) > 16}


def test_ten_thousand_requests(control):
    f = Fuzzer(control)
    for _ in range(REQUESTS):
        f.one()
    assert control.healthy()
    assert f.seen.get(200, 0) > 300 and sum(v for k, v in f.seen.items() if k >= 400) > 3000, f.seen
    assert set(f.seen) >= {200, 400, 401, 403, 404}, f.seen
    log = control.log.read_text()
    for secret in f.secrets:
        secret = secret.split("#")[-1]
        assert secret not in log, "a secret in the log"
