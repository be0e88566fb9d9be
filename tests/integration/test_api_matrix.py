"""Role x call x whose object it is, over every call that OpenAPI names: who is let in, who is not, and who must not even learn
that there is something.

What a role may is written out here once more, as the page that defines it has it; the server's own table is not asked.
"""
import base64
import urllib.parse

import control as controllib
import pytest

pytestmark = pytest.mark.loopback

ROLES = ["owner", "admin", "network-admin", "it-admin", "billing-admin", "auditor", "member"]
MAY = {
    "own": "YYYYYYY", "console": "YYYYYY.", "policy.read": "YYYYYY.", "policy.write": "YYY....", "network.read": "YYYYYY.", "network.write": "YYY....",
    "feature.read": "YYYYYY.", "feature.write": "YY.Y...", "machines.read": "YYYYYY.", "machines.write": "YY.Y...",
    "users.read": "YYYYYY.", "users.write": "YY.Y...", "auth_keys": "YYYY...", "api_keys": "YYYY...", "audit.read": "YYYYYY.",
    "webhooks.write": "YYYY...", "request.decide": "YYY....", "funnel.read": "YYYYYY.", "funnel.off": "YYYY...", "funnel.reopen": "YYY....",
}
NOT_THERE = "nothing-has-this-id"
STREAMS = ("/events",)  # they never end; their own tests read them


class Matrix:
    def __init__(self, control):
        self.control = control
        self.clients = {"owner": control.owner()} | {r: control.client_of(f"{r}@example.com", r) for r in ROLES[1:]}
        paths = self.clients["owner"]("GET", "/api/v2/openapi.json").json["paths"]
        self.calls = [(m.upper(), p, op) for p, ops in sorted(paths.items()) for m, op in sorted(ops.items())
                      if m in ("get", "post", "put", "patch", "delete") and "x-required-permission" in op and not p.endswith(STREAMS)]
        assert len(self.calls) > 70

    def ask(self, client, method, path, **ids):
        ids = {"tailnet": "-", "rev": "999999", "kind": "account", "key": "custom:x"} | ids
        for name, value in ids.items():
            path = path.replace("{%s}" % name, urllib.parse.quote(value))
        path = path.replace("{id}", NOT_THERE)
        assert "{" not in path, path
        if path.endswith("/wait"):
            path += "?timeout=0"
        # A body that no call takes: whoever is let in is told so, and nothing changes.
        return client(method, path, None if method in ("GET", "DELETE") else "[1]", Content_Type="application/json")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    c = controllib.Control(tmp_path_factory.mktemp("matrix")).configure().start()
    yield Matrix(c)
    c.stop()


def test_every_role_at_every_call(matrix):
    wrong = []
    for method, path, op in matrix.calls:
        if (method, path.rsplit("/", 1)[-1]) in {("DELETE", "funnel-lock"), ("POST", "funnel-lock")}:
            continue  # these take no object and would do it: test_the_kill_switch_by_role
        for column, role in enumerate(ROLES):
            answer = matrix.ask(matrix.clients[role], method, path)
            code = answer.json.get("code", "") if answer.status >= 400 else ""
            expected = MAY[op["x-required-permission"]][column] == "Y"
            if (answer.status == 403 and code == "role.missing") == expected or answer.status >= 500 or answer.status == 401:
                wrong.append((method, path, role, answer.status, code))
    assert not wrong, wrong


def test_the_kill_switch_by_role(matrix):
    for method, permission in ("POST", "funnel.off"), ("DELETE", "funnel.reopen"):
        for column, role in enumerate(ROLES):
            answer = matrix.clients[role](method, "/api/v2/tailnet/-/funnel-lock", "{}" if method == "POST" else None,
                                          Content_Type="application/json")
            assert (answer.status < 300) == (MAY[permission][column] == "Y"), (method, role, answer)


def test_nobody_at_every_call(matrix):
    nobody = [controllib.Client(matrix.control, key) for key in ("", "fnl-api-wrong", matrix.control.new_key("auth"), matrix.control.new_key("relay"))]
    for method, path, _ in matrix.calls:
        for client in nobody:
            answer = matrix.ask(client, method, path)
            assert answer.status == 401 and answer.headers["WWW-Authenticate"] and answer.json["code"], (method, path, answer)


def token(control, owner, *scopes):
    client = owner("POST", "/api/v2/tailnet/-/keys", {"keyType": "client", "scopes": list(scopes), "tags": ["tag:bot"]},
                   Content_Type="application/json")
    assert client.status == 200, client
    basic = base64.b64encode(f"{client.json['id']}:{client.json['key']}".encode()).decode()
    answer = controllib.Client(control, "")("POST", "/api/v2/oauth/token", "grant_type=client_credentials", Authorization=f"Basic {basic}",
                                            Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 200, answer
    return controllib.Client(control, answer.json["access_token"])


def test_a_token_reaches_its_scopes_and_no_more(matrix):
    owner = matrix.clients["owner"]
    assert owner.acl('{"tagOwners": {"tag:bot": ["autogroup:admin"]}}', If_Match="*").status == 200
    scopes = sorted({op["x-required-scope"] for _, _, op in matrix.calls if op["x-required-scope"]})
    assert len(scopes) > 12
    for scope in scopes:
        client = token(matrix.control, owner, scope)
        reads = scope.endswith(":read")
        for method, path, op in matrix.calls:
            needed = op["x-required-scope"]
            if needed is None or op.get("x-any-scope") or path.endswith("/funnel-lock"):
                continue
            answer = matrix.ask(client, method, path)
            code = answer.json.get("code", "") if answer.status >= 400 else ""
            covered = needed == scope or (not reads and needed == scope + ":read")
            if covered:
                assert code != "scope.missing" and answer.status not in (401, 500), (scope, method, path, answer)
            else:
                assert answer.status == 403 and code == "scope.missing", (scope, method, path, answer)


def test_others_objects_are_not_there(matrix):
    """A member sees and changes what is theirs; everything of others is 404, the same as what does not exist."""
    control, member = matrix.control, matrix.clients["member"]
    theirs, mine = control.register("boss"), control.register("mine", "member@example.com")
    asked = {}
    for node in theirs, mine:
        controllib.Client(control, node.token)("POST", "/node/v1/feature/query", {"feature": "funnel", "port": 443, "target": "http://127.0.0.1:3000"},
                                               Content_Type="application/json")
    for r in matrix.clients["owner"]("GET", "/api/v2/tailnet/-/funnel-requests").json["requests"]:
        asked[r["nodeId"]] = r["id"]
    ids = {"/device/": (theirs.id, mine.id), "/funnel-requests/": (asked[theirs.id], asked[mine.id])}
    for method, path, op in matrix.calls:
        kind = next((k for k in ids if k in path), None)
        if op["x-required-permission"] != "own" or not kind:
            continue
        foreign, own = (matrix.ask(member, method, path, id=i) for i in ids[kind])
        missing = matrix.ask(member, method, path)
        assert foreign.status == 404 and foreign.json["code"] == missing.json["code"], (method, path, foreign)
        assert foreign.json["message"] == missing.json["message"], (method, path)
        assert own.status != 404 or "attributes" in path, (method, path, own)
    listed = member("GET", "/api/v2/tailnet/-/devices").json["devices"]
    assert [d["nodeId"] for d in listed] == [mine.id]
    listed = member("GET", "/api/v2/tailnet/-/funnel-requests").json["requests"]
    assert [r["nodeId"] for r in listed] == [mine.id]


def test_a_demotion_takes_effect_with_the_next_request(matrix):
    client = matrix.control.client_of("falls@example.com", "admin")
    assert client("GET", "/api/v2/tailnet/-/users").status == 200
    users = matrix.clients["owner"]("GET", "/api/v2/tailnet/-/users").json["users"]
    (user,) = [u["id"] for u in users if u["loginName"] == "falls@example.com"]
    assert matrix.clients["owner"]("POST", f"/api/v2/users/{user}/role", {"role": "member"}, Content_Type="application/json").status == 200
    assert client("GET", "/api/v2/tailnet/-/users").status == 403
