"""The description of the REST API against the server that it describes: what real calls answer and leave in the audit log.
That every route has its entry, and the reverse, is tests/unit/server_openapi_test.c."""
import json
import re
import time

import jsonschema
import pytest

import control as controllib
from control import Client

pytestmark = pytest.mark.loopback

T = "/api/v2/tailnet/-"
AUDIT = T + "/logging/configuration?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z&limit=10000"
REFUSALS = {"FUNNEL.APPROVE.REFUSED"}  # left by a call that was answered with an error
DONE = {}  # (method, path of the document) -> statuses that were seen


def resolve(doc, x):
    """One step of {"$ref": "#/…"}."""
    while isinstance(x, dict) and "$ref" in x:
        ref, x = x["$ref"], doc
        for part in ref[2:].split("/"):
            x = x[part]
    return x


class Checked(Client):
    """A client whose every answer is held against the document."""

    def __init__(self, control, key, doc):
        super().__init__(control, key)
        self.doc = doc
        self.paths = sorted(((re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", p) + "$"), p) for p in doc["paths"]),
                            key=lambda x: x[1].count("{"))

    def schema_ok(self, schema, value):
        """The document as a resolver's base, so that references work."""
        jsonschema.Draft202012Validator({**self.doc, **schema}, format_checker=jsonschema.FormatChecker()).validate(value)

    def __call__(self, method, path, body=None, **headers):
        a = super().__call__(method, path, body, **headers)
        bare = path.split("?")[0]
        name = next(p for r, p in self.paths if r.match(bare))
        op = self.doc["paths"][name][method.lower()]
        DONE.setdefault((method.lower(), name), set()).add(a.status)
        answer = resolve(self.doc, op["responses"].get(str(a.status)) or (op["responses"]["default"] if a.status >= 400 else None))
        assert answer, f"{method} {name} does not say that it answers {a.status}: {a}"
        content = answer.get("content", {})
        if a.raw:
            kind = a.headers["Content-Type"].split(";")[0]
            assert kind in content, f"{method} {name} does not say that it answers {kind}: {a}"
            if kind == "application/json":
                self.schema_ok(content[kind]["schema"], a.json)
        else:
            assert not content, f"{method} {name} should answer {list(content)}"
        # What a call takes is what the document says that it takes.
        if a.status < 300 and isinstance(body, (dict, list)):
            self.schema_ok(op["requestBody"]["content"]["application/json"]["schema"], body)
        return a


@pytest.fixture(scope="module")
def c(folder):
    control = controllib.Control(folder / "openapi").configure().start()
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


@pytest.fixture(scope="module")
def doc(c):
    a = Client(c, "")("GET", "/api/v2/openapi.json", Authorization=None)
    assert a.status == 200 and a.headers["Content-Type"] == "application/json"
    assert Client(c, "")("GET", "/api/v2?outputOpenapiSchema=true", Authorization=None).raw == a.raw
    assert Client(c, "")("GET", "/api/v2", Authorization=None).status == 404
    return a.json


@pytest.fixture(scope="module")
def api(c, doc):
    return Checked(c, c.secret("api-key"), doc)


def ok(a, status=200):
    assert a.status == status, a
    return a


def walk(x):
    yield x
    for v in x.values() if isinstance(x, dict) else x if isinstance(x, list) else ():
        yield from walk(v)


def test_the_document_is_sound(doc):
    assert doc["openapi"] == "3.1.0"
    for x in walk(doc):
        if isinstance(x, dict) and isinstance(x.get("$ref"), str):
            assert resolve(doc, x) is not None
    for name, schema in doc["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f'"#/components/schemas/{name}"' in json.dumps(doc), f"nothing refers to {name}"
    for path, item in doc["paths"].items():
        for method, op in item.items():
            named = {resolve(doc, p)["name"] for p in op.get("parameters", []) if resolve(doc, p)["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path)), (method, path)
            assert "default" in op["responses"] and op["summary"]


def test_devices(c, api):
    node = c.register("described")
    stream = c.stream(node)
    stream.next()
    device = f"/api/v2/device/{node.id}"
    ok(api.acl('{"tagOwners": {"tag:web": []}, "nodeAttrs": [{"target": ["*"], "attr": ["funnel"]}]}\n'))
    ok(api("GET", T + "/devices?fields=all"))
    ok(api("GET", T + "/devices?limit=1"))
    ok(api("POST", device + "/key", {"keyExpiryDisabled": False}))
    ok(api("GET", device + "?fields=all"))
    for what, body in (("authorized", {"authorized": False}), ("authorized", {"authorized": True}), ("name", {"name": "described2"}),
                       ("ip", {"ipv4": "100.90.1.1"}), ("tags", {"tags": ["tag:web"]}), ("tags", {"tags": None})):
        ok(api("POST", f"{device}/{what}", body))
    ok(api("POST", device + "/expire"))
    ok(api("GET", device + "/routes"))
    ok(api("POST", device + "/routes", {"routes": []}))
    ok(api("POST", device + "/attributes/custom:a", {"value": "x", "expiry": "2099-01-01T00:00:00Z", "comment": "why"}))
    ok(api("POST", device + "/attributes/custom:b", {"value": 3}))
    ok(api("GET", device + "/attributes"))
    ok(api("GET", device + "/attributes/explain"))
    ok(api("GET", device + "/attributes/explain?attr=other"))
    ok(api("DELETE", device + "/attributes/custom:a"))
    c.want(node, 443)
    url = f"/api/v2/funnels/{ok(api('GET', T + '/funnels')).json['funnels'][0]['id']}"
    ok(api("GET", url))
    ok(api("POST", url + "/probe", ""))
    ok(api("DELETE", url), 204)
    with c.db() as db:
        db.execute("INSERT INTO certificates(node_id, order_id, csr, spki, state, updated) SELECT id, 'x', 'x', 'x', 'failed', 1 "
                   "FROM nodes WHERE stable_id = ?", (node.id,))
    ok(api("GET", T + "/certificates"))
    ok(api("POST", f"/api/v2/certificates/{node.id}/renew", ""), 202)
    stream.close()
    ok(api("DELETE", device))
    assert api("DELETE", device).status == api("GET", device).status == 404
    assert api("POST", device + "/authorized", "{").status == api("GET", T + "/devices?x=1").status == 400


def test_the_policy(api):
    ok(api.acl('// one\n{"nodeAttrs": [{"target": ["*"], "attr": ["funnel"]}]}\n'))
    ok(api.acl(""))
    for accept in ("application/hujson", "application/json"):
        ok(api("GET", T + "/acl", Accept=accept))
    ok(api("GET", T + "/acl?details=1"))
    assert api.acl('{"nodeAttrs": [{"target": ["tag:none"], "attr": ["funnel"]}], "tests": [{"src": "a@b.example", "accept": ["1.2.3.4:1"]}]}').status == 400
    assert api.acl("{}", If_Match='"no"').status == 412
    ok(api("POST", T + "/acl/validate", "{}"))
    ok(api("POST", T + "/acl/validate?effects=1", '{"nodeAttrs": [{"target": ["*"], "attr": ["funnel", "x"]}]}'))
    assert "message" in ok(api("POST", T + "/acl/validate", '{"nodeAttrs": 7}')).json
    ok(api("POST", T + "/acl/preview?type=user&previewFor=ann@example.com", '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'))
    versions = ok(api("GET", T + "/acl/history?limit=2")).json["versions"]
    ok(api("GET", f"{T}/acl/history/{versions[0]['rev']}"))
    ok(api("GET", T + "/acl/diff"))
    ok(api("POST", T + "/acl/funnel", {"selector": "autogroup:member", "comment": "everybody", "remove": False}))
    ok(api("POST", T + "/acl/diff", '{"groups": {"group:a": []}}'))
    ok(api("POST", T + "/acl/rollback", {"rev": versions[1]["rev"], "message": "back"}))
    ok(api("GET", T + "/settings"))
    ok(api("PATCH", T + "/settings", {"httpsEnabled": True, "aclsExternalLink": None}))
    assert api("PATCH", T + "/settings", {"httpsEnabled": 1}).status == 400


def test_keys(c, api):
    client = ok(api("POST", T + "/keys", {"keyType": "client", "scopes": ["policy_file:read"], "description": "robot"})).json
    for body in ({"capabilities": {"devices": {"create": {"reusable": True}}}}, {"keyType": "api", "expirySeconds": 86400}):
        ok(api("POST", T + "/keys", body))
    ok(api("GET", T + "/keys?all=true"))
    ok(api("GET", f"{T}/keys/{client['id']}"))
    ok(api("PUT", f"{T}/keys/{client['id']}", {"description": "robot 2", "scopes": ["policy_file:read"]}))
    form = {"Authorization": None, "Content_Type": "application/x-www-form-urlencoded"}
    token = ok(api("POST", "/api/v2/oauth/token", f"client_id={client['id']}&client_secret={client['key']}", **form)).json
    assert api("POST", "/api/v2/oauth/token", "client_id=x&client_secret=y", **form).status == 401
    robot = Checked(c, token["access_token"], api.doc)
    ok(robot("GET", T + "/acl"))
    assert robot.acl("{}").status == robot("GET", T + "/settings").status == robot("GET", "/api/v2/whoami").status == 403
    ok(api("DELETE", f"{T}/keys/{client['id']}"))
    assert robot("GET", T + "/acl").status == 401


def test_requests(c, api):
    ok(api.acl(""))
    ok(api("PATCH", T + "/settings", {"httpsEnabled": False}))
    c.add_user("cy@example.com")

    def ask(hostname):
        node = c.register(hostname, "cy@example.com")
        a = Client(c, node.token)("POST", "/node/v1/feature/query", {"feature": "funnel", "port": 443, "target": "http://127.0.0.1:1", "reason": "why"})
        assert a.status == 200 and a.json["RequestID"], a
        return f"/api/v2/funnel-requests/{a.json['RequestID']}", a.json["MatchCode"]
    path, code = ask("asking")
    assert ok(api("GET", T + "/funnel-requests?state=pending&limit=5")).json["requests"]
    changes = ok(api("GET", path)).json["changes"]
    ok(api("GET", path + "/wait?timeout=0"))
    assert api("POST", path + "/approve", {"matchCode": "x"}).status == 403
    ok(api("POST", path + "/approve", {"matchCode": code, "grant": changes["preselected"], "expires": 3600, "policyETag": changes["policyETag"]}))
    assert ok(api("GET", path)).json["grant"]["expires"]
    ok(api.acl(""))
    ok(api("POST", ask("denied")[0] + "/deny", {"reason": "no"}))
    ok(api("POST", ask("cancelled")[0] + "/cancel", {"reason": "not now"}))
    assert api("GET", "/api/v2/funnel-requests/none").status == 404


def test_people(c, api):
    c.add_user("dee@example.com")
    with c.db() as db:
        db.execute("UPDATE users SET approved = 0 WHERE login = 'dee@example.com'")
    dee = next(u for u in ok(api("GET", T + "/users?role=member")).json["users"] if u["loginName"] == "dee@example.com")
    assert dee["status"] == "needs-approval"
    path = f"/api/v2/users/{dee['id']}"
    ok(api("GET", path))
    for what, body in (("approve", None), ("role", {"role": "auditor"}), ("suspend", None), ("restore", None), ("delete", None)):
        ok(api("POST", f"{path}/{what}", body))
    assert api("GET", path).status == api("POST", path + "/approve").status == 404
    invite = ok(api("POST", T + "/user-invites", [{"email": "eli@example.com", "role": "member"}])).json[0]
    ok(api("GET", T + "/user-invites"))
    path = f"/api/v2/user-invites/{invite['id']}"
    ok(api("GET", path))
    ok(api("POST", path + "/resend"))
    ok(api("DELETE", path))


def test_contacts_and_dns(api):
    ok(api("GET", T + "/contacts"))
    ok(api("PATCH", T + "/contacts/security", {"email": "security@example.com"}))
    for view, method, body in (
            ("nameservers", "POST", {"dns": ["10.0.0.1"]}), ("searchpaths", "POST", {"searchPaths": ["corp.example.com"]}),
            ("preferences", "POST", {"magicDNS": True}), ("split-dns", "PUT", {"a.example.com": ["10.0.0.2"]}),
            ("split-dns", "PATCH", {"a.example.com": None, "b.example.com": ["10.0.0.3"]}),
            ("configuration", "POST", {"nameservers": [{"address": "10.0.0.4"}], "searchPaths": ["x.example.com"],
                                       "splitDNS": {"c.example.com": ["10.0.0.5"]}, "preferences": {"magicDNS": False}})):
        answer = ok(api(method, f"{T}/dns/{view}", body))
        assert ok(api("GET", f"{T}/dns/{view}")).json == answer.json
    assert api("POST", T + "/dns/nameservers", {"dns": ["x"]}).status == 400


def test_public_urls(c, api):
    node = c.register("public")
    c.relay("described").close()
    c.want(node, 443)
    first = ok(api("GET", T + "/funnels?limit=1")).json["funnels"][0]
    ok(api("GET", f"/api/v2/funnels/{first['id']}"))
    (mine,) = [f for f in ok(api("GET", T + "/funnels")).json["funnels"] if f["nodeId"] == node.id]
    path = f"/api/v2/funnels/{mine['id']}"
    ok(api("POST", path + "/probe", ""))
    ok(api("DELETE", path), 204)
    assert api("DELETE", path).status == api("POST", path + "/probe", "").status == 404
    with c.db() as db:
        db.execute("INSERT INTO certificates(node_id, order_id, csr, spki, state, error, updated) "
                   "SELECT id, 'o', 'no csr', '', 'failed', 'a test', 1 FROM nodes WHERE stable_id = ?", (node.id,))
    assert ok(api("GET", T + "/certificates")).json["certificates"]
    ok(api("POST", f"/api/v2/certificates/{node.id}/renew", ""), 202)
    assert api("POST", f"/api/v2/certificates/{node.id}/renew", "").status == 409
    assert ok(api("GET", T + "/ingresses")).json["ingresses"]
    ok(api("GET", "/api/v2/status"))
    ok(api("GET", "/api/v2/version"))


def test_the_rest(c, api):
    ok(api("GET", "/api/v2/whoami"))
    ok(api("GET", "/api/v2/openapi.json"))
    ok(api("GET", "/api/v2/status"))
    ok(api("GET", "/api/v2/version"))
    relay = c.relay()
    assert ok(api("GET", T + "/ingresses")).json["ingresses"]
    relay.close()
    ok(api("GET", "/api/v2?outputOpenapiSchema=true"))
    hook = ok(api("POST", T + "/webhooks", {"endpointUrl": "https://hooks.example.com/", "subscriptions": ["policyUpdate"]})).json
    path = f"/api/v2/webhooks/{hook['endpointId']}"
    ok(api("GET", T + "/webhooks"))
    ok(api("GET", path))
    ok(api("PATCH", path, {"subscriptions": ["nodeCreated"]}))
    ok(api("POST", path + "/test", ""), 202)
    ok(api("POST", path + "/rotate", ""))
    time.sleep(0.1)
    assert ok(api("GET", path + "/deliveries")).json["deliveries"]
    ok(api("DELETE", path))
    ok(api("GET", T + "/funnel-lock"))
    ok(api("POST", T + "/funnel-lock", {"reason": "a test"}))
    ok(api("DELETE", T + "/funnel-lock"))
    for form in ("json", "csv", "jsonl"):
        ok(api("GET", f"{AUDIT}&format={form}"))
    assert api("GET", T + "/logging/configuration").status == 400


def test_every_operation_was_called(doc):
    """Above, or it is named here with the test that calls it."""
    elsewhere = {("get", "/api/v2/tailnet/{tailnet}/events")}  # test_events.py
    everything = {(m, p) for p, item in doc["paths"].items() for m in item}
    called = {k for k, statuses in DONE.items() if any(s < 300 for s in statuses)}
    assert everything - called == elsewhere


def test_what_a_call_leaves_in_the_audit_log(c, api, doc):
    """Each event that the document names has been left by the calls above, and no other."""
    named = {}
    for path, item in doc["paths"].items():
        for method, op in item.items():
            event = op["x-audit-event"]
            for e in [event] if isinstance(event, str) else event or []:
                named.setdefault(e, []).append((method, path))
    logged = {line["action"] for line in api("GET", AUDIT).json["logs"] if line["origin"] == "API"}
    assert logged - REFUSALS == set(named)


def test_a_wrong_answer_is_seen(c, api):
    """The test of the test: a member more, a member less, another kind."""
    good = api("GET", "/api/v2/whoami").json
    schema = api.doc["paths"]["/api/v2/whoami"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    for bad in (good | {"new": 1}, {k: v for k, v in good.items() if k != "role"}, good | {"role": "king"}, good | {"permissions": None}):
        with pytest.raises(jsonschema.ValidationError):
            api.schema_ok(schema, bad)
