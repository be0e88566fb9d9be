"""Every call of the REST API × every role, every scope, nobody; and ten thousand calls that nobody means. What there is comes
from /api/v2/openapi.json, which is held against the table of routes elsewhere; who may is written out here once more."""
import json
import os
import random
import re
import string
import urllib.parse

import pytest

import control as controllib
from control import Client

pytestmark = pytest.mark.loopback

ROLES = ["owner", "admin", "network-admin", "it-admin", "billing-admin", "auditor", "member"]
# console-api.md section 2. Columns as ROLES.
MATRIX = {
    "own": "YYYYYYY", "console": "YYYYYY.", "policy.read": "YYYYYY.", "policy.write": "YYY....", "network.read": "YYYYYY.",
    "network.write": "YYY....", "feature.read": "YYYYYY.", "feature.write": "YY.Y...", "provisioning": "YY.Y...",
    "machines.read": "YYYYYY.", "machines.write": "YY.Y...", "users.read": "YYYYYY.", "users.write": "YY.Y...",
    "auth_keys": "YYYY...", "api_keys": "YYYY...", "any_tag": "YYY....", "audit.read": "YYYYYY.", "webhooks.write": "YYYY...",
    "tailnet.name": "YYY....", "request.decide": "YYY....", "funnel.read": "YYYYYY.", "funnel.off": "YYYY...",
    "funnel.reopen": "YYY....",
}
KEY_SCOPES = {"auth_keys", "api_access_tokens", "oauth_keys"}  # the kinds of keys: any of them opens the call
FUZZED = int(os.environ.get("OPENFUNNEL_FUZZED", 10000))


@pytest.fixture(scope="module")
def c(folder):
    control = controllib.Control(folder / "matrix").configure().start()
    assert control.owner().acl('{"tagOwners": {"tag:x": []}}').status == 200
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


@pytest.fixture(scope="module")
def ops(c):
    doc = Client(c, "")("GET", "/api/v2/openapi.json", Authorization=None).json
    return [(m.upper(), p, op) for p, item in doc["paths"].items() for m, op in item.items()]


def streams(op):
    return any("text/event-stream" in r.get("content", {}) for r in op["responses"].values())


def nowhere(path):
    """The path with things that are not there; the tailnet is ours."""
    return re.sub(r"\{\w+\}", "nobody", path.replace("{tailnet}", "-"))


def call(client, method, path, op):
    """Without effect: what it is about is not there, what it sends is not JSON."""
    return client(method, nowhere(path), "{" if "requestBody" in op else None)


def expect(wrong, a, refused, code, *what):
    """a was refused with that code, or was not: else it is noted."""
    got = a.status in (401, 403) and a.json["code"] == code
    if got != refused:
        wrong.append((*what, a.status, a.text[:100]))


def test_every_role_may_what_the_table_says(c, ops):
    clients = {r: c.owner() if r == "owner" else c.client_of(f"{r}@example.com", r) for r in ROLES}
    wrong, count = [], 0
    for method, path, op in ops:
        if op.get("security") == [] or streams(op):
            continue
        for i, role in enumerate(ROLES):
            may = MATRIX[op["x-required-permission"]][i] == "Y"
            expect(wrong, call(clients[role], method, path, op), not may, "role.missing", role, method, path)
            count += 1
    assert not wrong and count > 300


def test_a_demotion_holds_at_once(c):
    client = c.client_of("falling@example.com", "admin")
    assert client("GET", "/api/v2/tailnet/-/acl").status == 200
    with c.db() as db:
        db.execute("UPDATE users SET role = 'member' WHERE login = 'falling@example.com'")
    assert client("GET", "/api/v2/tailnet/-/acl").status == 403
    with c.db() as db:
        db.execute("UPDATE users SET suspended = 1 WHERE login = 'falling@example.com'")
    assert client("GET", "/api/v2/whoami").status == 401


def test_nobody_may_nothing(c, ops):
    wrong = []
    for credential in ({"Authorization": None}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDo="},
                       {"Authorization": "Basic !"}, {"Authorization": "Digest x"}, {"Authorization": "Bearer " + "x" * 300}):
        client = Client(c, "")
        for method, path, op in ops:
            if op.get("security") != []:
                expect(wrong, client(method, nowhere(path), None, **credential), True, "auth.required", method, path, credential)
    assert not wrong


def test_every_scope_opens_what_it_names(c, ops):
    owner = c.owner()
    wanted = {op["x-required-scope"] for _, _, op in ops if op.get("security") != []} - {None}
    scopes = sorted({s.removesuffix(":read") for s in wanted if not s.startswith("logs:")} | KEY_SCOPES)
    scopes = [x for s in scopes for x in (s, s + ":read")] + ["logs:configuration:read", "all", "all:read"]
    wrong = []
    for scope in scopes:
        a = owner("POST", "/api/v2/tailnet/-/keys", {"keyType": "client", "scopes": [scope], "tags": ["tag:x"]})
        assert a.status == 200, (scope, a)
        form = {"Authorization": None, "Content_Type": "application/x-www-form-urlencoded"}
        token = owner("POST", "/api/v2/oauth/token", f"client_id={a.json['id']}&client_secret={a.json['key']}", **form)
        assert token.status == 200, (scope, token)
        client = Client(c, token.json["access_token"])
        held, write = scope.removesuffix(":read"), not scope.endswith(":read")
        for method, path, op in ops:
            if op.get("security") == [] or streams(op):
                continue
            if op.get("x-any-scope"):
                continue  # its handler says which kinds of keys: below
            need = op["x-required-scope"]
            # To decide requests is not something that "all" gives.
            opens = need and (need.removesuffix(":read") == held or (held == "all" and need != "funnel:approve")) and (
                write or need.endswith(":read"))
            expect(wrong, call(client, method, path, op), not opens, "scope.missing", scope, method, path)
        keys = client("GET", "/api/v2/tailnet/-/keys?all=true").json["keys"]
        assert bool(keys) == (held in KEY_SCOPES | {"all"}) or held == "api_access_tokens", (scope, keys)
        made = client("POST", "/api/v2/tailnet/-/keys", {"capabilities": {"devices": {"create": {"tags": ["tag:x"]}}}})
        assert made.status == (200 if write and held in ("auth_keys", "all") else 403), (scope, made)
    assert not wrong, wrong[:20]


# ---- calls that nobody means ----

WORDS = ["", "-", "0", "-1", "9223372036854775807", "9223372036854775808", "1e9", "null", "true", "..", ".", "%00", "a" * 300,
         "é", "\u202e", "'; DROP TABLE nodes; --", "${x}", "<script>", "tag:x", "autogroup:member", "*", "\x7f", "a\r\nX: y", "😀"]
TYPES = ["application/json", "application/hujson", "text/plain", "application/x-www-form-urlencoded", "text/html", "multipart/form-data",
         "application/json; charset=utf-16", "", "x"]


def random_value(rnd, depth=0):
    kind = rnd.randrange(9 if depth < 4 else 6)
    if kind < 3:
        return rnd.choice(WORDS)
    if kind == 3:
        return rnd.choice([0, 1, -1, 443, 2**53, -2**63, 2**63 - 1, 1.5, 1e308])
    if kind == 4:
        return rnd.choice([True, False, None])
    if kind == 5:
        return "".join(rnd.choice(string.printable) for _ in range(rnd.randrange(60)))
    if kind == 6:
        return [random_value(rnd, depth + 1) for _ in range(rnd.randrange(4))]
    return {rnd.choice(WORDS[:9] + ["name", "tags", "value"]): random_value(rnd, depth + 1) for _ in range(rnd.randrange(4))}


def from_schema(rnd, doc, schema, depth=0):
    """Mostly what the schema wants, here and there something else."""
    while "$ref" in schema:
        schema = doc["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if rnd.random() < 0.15 or depth > 6:
        return random_value(rnd, depth)
    if "anyOf" in schema:
        return from_schema(rnd, doc, rnd.choice(schema["anyOf"]), depth + 1)
    if "enum" in schema:
        return rnd.choice(schema["enum"])
    kind = schema.get("type", "string")
    kind = rnd.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        out = {k: from_schema(rnd, doc, v, depth + 1) for k, v in schema.get("properties", {}).items()
               if k in schema.get("required", []) or rnd.random() < 0.6}
        return out | ({rnd.choice(WORDS): random_value(rnd)} if rnd.random() < 0.2 else {})
    if kind == "array":
        return [from_schema(rnd, doc, schema.get("items", {}), depth + 1) for _ in range(rnd.randrange(4))]
    return {"boolean": rnd.random() < 0.5, "integer": rnd.choice([0, 1, 443, -1, 10**12]), "number": 0.5, "null": None}.get(
        kind, rnd.choice(WORDS + ["ann@example.com", "tag:x", "2030-01-01T00:00:00Z", "https://a.example/", "100.64.9.9"]))


def random_call(rnd, doc, ops, things):
    method, path, op = rnd.choice(ops)
    path = re.sub(r"\{\w+\}", lambda m: "-" if m.group() == "{tailnet}" and rnd.random() < 0.9 else urllib.parse.quote(
        rnd.choice(things) if rnd.random() < 0.6 and "wait" not in path else rnd.choice(WORDS) or "x", safe=""), path)
    query = [(q["name"], rnd.choice(WORDS)) for q in op.get("parameters", []) if q.get("in") == "query" and rnd.random() < 0.5]
    query += [(rnd.choice(["limit", "cursor", "details", "x", "hostname", "tags"]), rnd.choice(WORDS)) for _ in range(rnd.randrange(3))]
    headers = {"Content_Type": rnd.choice(TYPES)} if rnd.random() < 0.5 else {"Content_Type": "application/json"}
    for name in ("If_Match", "If_None_Match", "Idempotency_Key", "Accept", "X_Requested_With", "Cookie", "Origin"):
        if rnd.random() < 0.1:
            headers[name] = rnd.choice(['*', '"x"', 'W/"x"', ",,,", "x" * 500, "application/json", "__Host-funnel=" + "a" * 32])
    body = None
    if "requestBody" in op and rnd.random() < 0.95:
        schema = next(iter(op["requestBody"]["content"].values()))["schema"]
        body = json.dumps(from_schema(rnd, doc, schema), ensure_ascii=rnd.random() < 0.5)
        if rnd.random() < 0.2:
            at = rnd.randrange(len(body) + 1)
            body = body[:at] + rnd.choice(["", "\x00", "{", "[" * 40, "//", "\ud7ff", "9" * 400]) + body[at + rnd.randrange(3):]
    elif rnd.random() < 0.1:
        body = rnd.choice(WORDS)
    if rnd.random() < 0.03:
        method = rnd.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
    return method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body, headers


def test_ten_thousand_calls_that_nobody_means(c):
    seed = int(os.environ.get("OPENFUNNEL_SEED", random.randrange(2**32)))
    print("OPENFUNNEL_SEED", seed)
    rnd = random.Random(seed)
    canary = c.secret("api-key")
    client = c.owner()
    doc = client("GET", "/api/v2/openapi.json").json
    ops = [(m.upper(), p, op) for p, item in doc["paths"].items() for m, op in item.items() if not streams(op)]
    nodes = [c.register(f"fuzz{i}") for i in range(5)]
    things = [n.id for n in nodes] + ["1", "2", "custom:a", "account"]
    for path, name, key in (("webhooks", "webhooks", "endpointId"), ("users", "users", "id"), ("user-invites", None, "id")):
        if name == "webhooks":
            client("POST", f"/api/v2/tailnet/-/{path}", {"endpointUrl": "https://a.example/", "subscriptions": []})
        answer = client("GET", f"/api/v2/tailnet/-/{path}").json
        things += [x[key] for x in (answer[name] if name else answer)]
    seen, refused = {}, 0
    for i in range(FUZZED):
        method, path, body, headers = random_call(rnd, doc, ops, things)
        what = (i, method, path, body, headers)
        a = client(method, path, body.encode("utf-8", "surrogatepass") if body else body, **headers)
        seen[a.status] = seen.get(a.status, 0) + 1
        assert a.status < 500, (what, a)
        assert canary.encode() not in a.raw, what
        if a.status >= 400 and method != "HEAD":
            refused += 1
            assert a.headers["Content-Type"] == "application/json", (what, a)
            j = a.json
            assert j.get("message") and j.get("code") and len(j.get("requestId", "")) == 16 and j.get("status") == a.status, (what, a)
    print(seen)
    assert refused > FUZZED / 10 and seen.get(200, 0) > FUZZED / 20
    assert client("GET", "/api/v2/whoami").status == 200
    assert canary not in c.log.read_text()
