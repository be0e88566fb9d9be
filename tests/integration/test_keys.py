"""Keys and OAuth clients: made once, capped by who made them, refused on the next request after they were revoked."""
import base64
import concurrent.futures
import json
import re
import secrets
import urllib.parse
import zlib

import pytest

from control import Client, Control

POLICY = """{
  "tagOwners": {"tag:web": ["ivy@example.com"], "tag:db": ["tag:web"], "tag:lone": ["autogroup:owner"]},
  "groups": {"group:ops": ["olga@example.com"]},
}"""
KEYS = "/api/v2/tailnet/-/keys"


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    control = Control(tmp_path_factory.mktemp("keys")).configure().start()
    assert control.owner().acl(POLICY).status == 200
    control.clients = {role: control.client_of(f"{name}@example.com", role) for name, role in (
        ("adam", "admin"), ("nina", "network-admin"), ("ivy", "it-admin"), ("uma", "auditor"), ("max", "member"))}
    yield control
    control.stop()


def auth_key(who, expect=200, **create):
    body = {"keyType": "auth", "description": "for a test", "capabilities": {"devices": {"create": create}}}
    a = who("POST", KEYS, body)
    assert a.status == expect, a
    return a.json


def client_of(who, scopes, tags=None, expect=200):
    a = who("POST", KEYS, {"keyType": "client", "scopes": scopes, "tags": tags, "description": "robot"})
    assert a.status == expect, a
    return a.json


def token(c, form, **headers):
    return Client(c, "")("POST", "/api/v2/oauth/token", urllib.parse.urlencode(form),
                         Content_Type="application/x-www-form-urlencoded", Authorization=headers.get("auth", ""))


def token_client(c, client, **more):
    a = token(c, {"client_id": client["id"], "client_secret": client["key"], "grant_type": "client_credentials", **more})
    assert a.status == 200, a
    return Client(c, a.json["access_token"])


def register(c, key, transport=None, hostname="laptop"):
    return Client(c, "")("POST", "/node/v1/register", {
        "authKey": key, "hostname": hostname, "os": "linux", "version": "1",
        "transportKey": transport or secrets.token_hex(32)}, Content_Type="application/json")


def node_row(c, node_id):
    with c.db() as db:
        return db.execute("SELECT user_id, tags, authorized, ephemeral, key_expires, registered_by FROM nodes WHERE stable_id = ?",
                          (node_id,)).fetchone()


def test_a_key_is_shown_once_in_a_form_that_scanners_know(c):
    made = auth_key(c.owner(), reusable=True)
    assert re.fullmatch(r"fnl-auth-[0-9a-hjkmnp-tv-z]{20}-[0-9a-hjkmnp-tv-z]{32}[0-9a-f]{8}", made["key"])
    assert made["id"] in made["key"] and made["keyType"] == "auth" and made["expirySeconds"] == 90 * 86400
    assert f"{zlib.crc32(made['key'][:-8].encode()):08x}" == made["key"][-8:]
    got = c.owner()("GET", f"{KEYS}/{made['id']}")
    assert got.status == 200 and "key" not in got.json and got.json["id"] == made["id"] and not got.json["invalid"]
    assert got.json["capabilities"]["devices"]["create"] == {"reusable": True, "ephemeral": False, "preauthorized": False, "tags": []}
    assert made["id"] in [k["id"] for k in c.owner()("GET", KEYS + "?all=true").json["keys"]]
    stored = b"".join(p.read_bytes() for p in (c.folder / "state").iterdir() if p.name.startswith("control.db"))
    assert made["key"].encode() not in stored and made["key"].split("-")[3].encode() not in stored
    assert made["key"] not in c.log.read_text()


def test_etag_and_description(c):
    made = auth_key(c.owner())
    got = c.owner()("GET", f"{KEYS}/{made['id']}")
    tag = got.headers["ETag"]
    assert c.owner()("GET", f"{KEYS}/{made['id']}", If_None_Match=tag).status == 304
    put = c.owner()("PUT", f"{KEYS}/{made['id']}", {"keyType": "auth", "description": "the printer"}, If_Match=tag)
    assert put.status == 200 and put.json["description"] == "the printer"
    assert c.owner()("PUT", f"{KEYS}/{made['id']}", {"description": "x"}, If_Match=tag).status == 412
    assert c.owner()("PUT", f"{KEYS}/{made['id']}", {"capabilities": {}}).status == 400


@pytest.mark.parametrize("body", [
    [], {"keyType": "relay"}, {"keyType": "federated"}, {"keyType": "auth"}, {"keyType": 3},
    {"keyType": "auth", "capabilities": {"devices": {"create": {"reusable": "yes"}}}},
    {"keyType": "auth", "capabilities": {"devices": {"create": {"tags": "tag:web"}}}},
    {"keyType": "auth", "capabilities": {"devices": {"create": {"tags": ["web"]}}}},
    {"keyType": "auth", "capabilities": {"devices": {"create": {}}}, "expirySeconds": 91 * 86400},
    {"keyType": "auth", "capabilities": {"devices": {"create": {}}}, "expirySeconds": -1},
    {"keyType": "auth", "capabilities": {"devices": {"create": {}}}, "description": "x" * 51},
    {"keyType": "api", "expirySeconds": 3600}, {"keyType": "api", "expirySeconds": 91 * 86400},
    {"keyType": "client"}, {"keyType": "client", "scopes": []}, {"keyType": "client", "scopes": ["everything"]},
    {"keyType": "client", "scopes": ["auth_keys"]}, {"keyType": "client", "scopes": [7]}])
def test_what_makes_no_key(c, body):
    a = c.owner()("POST", KEYS, json.dumps(body))
    assert a.status == 400 and a.json["code"] in ("key.invalid", "body.invalid") and a.json["requestId"], a


def test_roles(c):
    for role in ("auditor", "member"):
        for method, path, body in (("GET", KEYS, None), ("POST", KEYS, {"keyType": "api"}), ("GET", f"{KEYS}/x", None),
                                   ("DELETE", f"{KEYS}/x", None), ("PUT", f"{KEYS}/x", {})):
            assert c.clients[role](method, path, body).status == 403
    for role in ("admin", "network-admin", "it-admin"):
        auth_key(c.clients[role])
        assert c.clients[role]("GET", f"{KEYS}/nobody").status == 404
    mine = auth_key(c.clients["it-admin"])
    assert mine["user"] == "ivy@example.com"
    assert mine["id"] not in [k["id"] for k in c.clients["admin"]("GET", KEYS).json["keys"]]
    assert c.clients["admin"]("PUT", f"{KEYS}/{mine['id']}", {"description": "mine"}).status == 403
    relay = c.new_key("relay")
    with c.db() as db:
        stable = db.execute("SELECT stable_id FROM keys WHERE kind = 'relay' ORDER BY id DESC").fetchone()[0]
    assert relay and c.owner()("GET", f"{KEYS}/{stable}").status == 404


def test_an_api_key_is_its_makers_role_and_ends_at_once(c):
    made = c.clients["it-admin"]("POST", KEYS, {"keyType": "api", "expirySeconds": 86400}).json
    robot = Client(c, made["key"])
    assert robot("GET", "/api/v2/whoami").json["loginName"] == "ivy@example.com"
    assert robot.acl(POLICY).status == 403  # an IT admin writes no policy
    seen = c.owner()("GET", f"{KEYS}/{made['id']}").json
    assert seen["lastUsed"] and seen["lastUsedAddress"] == "127.0.0.1"
    assert c.owner()("DELETE", f"{KEYS}/{made['id']}").status == 200
    assert robot("GET", "/api/v2/whoami").status == 401
    gone = c.owner()("GET", f"{KEYS}/{made['id']}").json
    assert gone["invalid"] and gone["revoked"]
    assert c.owner()("DELETE", f"{KEYS}/{made['id']}").status == 404
    log = c.owner()("GET", "/api/v2/tailnet/-/logging/configuration?start=2020-01-01T00:00:00Z&end=2099-01-01T00:00:00Z").json["logs"]
    mine = [e for e in log if e["target"]["id"] == made["id"]]
    assert [e["action"] for e in mine] == ["CREATE", "DELETE"] and mine[1]["old"]["invalid"] is False
    assert made["key"] not in json.dumps(log)


def test_old_forms_work(c):
    old = c.new_key("auth")
    assert re.fullmatch(r"fnl-auth-[0-9a-z]{32}", old) and register(c, old).status == 200


def test_registration_takes_the_keys_terms(c):
    settings = "/api/v2/tailnet/-/settings"
    assert c.owner()("PATCH", settings, {"devicesApprovalOn": True, "devicesKeyDurationDays": 30}).status == 200
    plain = node_row(c, register(c, auth_key(c.clients["it-admin"])["key"]).json["nodeId"])
    assert plain[0] and plain[1] == "[]" and not plain[2] and not plain[3] and plain[5] == plain[0]
    terms = auth_key(c.clients["it-admin"], ephemeral=True, preauthorized=True, tags=["tag:web"])
    tagged = node_row(c, register(c, terms["key"]).json["nodeId"])
    assert tagged == (None, '["tag:web"]', 1, 1, None, plain[0])
    assert c.owner()("PATCH", settings, {"devicesApprovalOn": False, "devicesKeyDurationDays": 180}).status == 200


def test_only_tags_of_ones_own(c):
    assert auth_key(c.clients["it-admin"], 403, tags=["tag:lone"])["code"] == "tags.not_yours"
    assert auth_key(c.owner(), 403, tags=["tag:nowhere"])["code"] == "tags.not_yours"
    auth_key(c.clients["network-admin"], tags=["tag:lone", "tag:web"])  # any tag that the policy defines
    client_of(c.clients["it-admin"], ["auth_keys"], ["tag:lone"], expect=403)


def test_one_use_raced_by_twenty_gives_one_node(c):
    key = auth_key(c.owner())["key"]
    before = len(c.owner()("GET", "/api/v2/tailnet/-/devices").json["devices"])
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: register(c, key, hostname=f"race-{i}").status, range(20)))
    assert sorted(answers) == [200] + [401] * 19
    assert len(c.owner()("GET", "/api/v2/tailnet/-/devices").json["devices"]) == before + 1


def test_expired_revoked_and_suspended_keys_register_nobody(c):
    expired, revoked, live = (auth_key(c.clients["admin"], reusable=True) for _ in range(3))
    with c.db() as db:
        db.execute("UPDATE keys SET expires = 1 WHERE stable_id = ?", (expired["id"],))
    assert c.owner()("DELETE", f"{KEYS}/{revoked['id']}").status == 200
    assert [register(c, k["key"]).status for k in (expired, revoked, live, live)] == [401, 401, 200, 200]
    with c.db() as db:
        db.execute("UPDATE users SET suspended = 1 WHERE login = 'adam@example.com'")
    assert register(c, live["key"]).status == 401
    with c.db() as db:
        db.execute("UPDATE users SET suspended = 0 WHERE login = 'adam@example.com'")


def test_a_machine_is_not_taken_over_by_its_transport_key(c):
    transport = secrets.token_hex(32)
    mine = register(c, auth_key(c.clients["it-admin"])["key"], transport)
    again = register(c, auth_key(c.clients["it-admin"])["key"], transport)
    assert again.json["nodeId"] == mine.json["nodeId"] and again.json["nodeToken"] != mine.json["nodeToken"]
    foreign = register(c, auth_key(c.clients["admin"])["key"], transport)
    assert foreign.status == 409 and foreign.json["code"] == "node.other_owner"


# ---- OAuth ----

def test_token_in_body_and_in_basic(c):
    client = client_of(c.owner(), ["devices:core:read", "policy_file:read"])
    body = token(c, {"client_id": client["id"], "client_secret": client["key"]})
    assert body.status == 200 and body.json["token_type"] == "Bearer" and body.json["expires_in"] == 3600
    assert body.json["scope"] == "devices:core:read policy_file:read" and body.headers["Cache-Control"] == "no-store"
    basic = "Basic " + base64.b64encode(f"{client['id']}:{client['key']}".encode()).decode()
    assert token(c, {"grant_type": "client_credentials"}, auth=basic).status == 200
    narrow = token_client(c, client, scope="policy_file:read")
    assert narrow("GET", "/api/v2/tailnet/-/acl").status == 200
    assert narrow("GET", "/api/v2/tailnet/-/devices").status == 403
    assert narrow.acl(POLICY).status == 403
    assert narrow("GET", "/api/v2/whoami").status == 403
    assert narrow("GET", KEYS).json["keys"] == []


@pytest.mark.parametrize("change, status, error", [
    ({"client_secret": "fnl-client-no"}, 401, "invalid_client"), ({"client_id": "other"}, 401, "invalid_client"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"), ({"scope": "dns"}, 400, "invalid_scope"),
    ({"scope": "nonsense"}, 400, "invalid_scope"), ({"tags": "tag:lone"}, 400, "invalid_scope"),
    ({"client_secret": "x" * 200}, 400, "invalid_request")])
def test_refusals_are_the_rfcs(c, change, status, error):
    client = client_of(c.owner(), ["policy_file:read"])
    a = token(c, {"client_id": client["id"], "client_secret": client["key"], "grant_type": "client_credentials", **change})
    assert (a.status, a.json["error"]) == (status, error) and a.json["message"] and a.json["requestId"] and a.json["code"]
    assert (status == 401) == bool(a.headers["WWW-Authenticate"])


def test_other_keys_are_no_clients(c):
    for kind in ("api-key", "auth-key"):
        assert token(c, {"client_id": "", "client_secret": c.secret(kind)}).status == 401
    client = client_of(c.owner(), ["all"], ["tag:web"])
    assert Client(c, client["key"])("GET", "/api/v2/whoami").status == 401  # a secret is no token
    assert register(c, client["key"]).status == 401
    enrol = Client(c, "")("POST", "/relay/v1/enroll", {
        "relayKey": client["key"], "name": "evil", "host": "evil.example.org", "addresses": ["198.51.100.9"], "port": 443,
        "ports": {}, "pins": [secrets.token_hex(32)], "version": "1"}, Content_Type="application/json")
    assert enrol.status == 401


def test_what_a_token_mints_is_no_wider_than_it(c):
    robot = token_client(c, client_of(c.owner(), ["auth_keys", "oauth_keys", "api_access_tokens"], ["tag:web"]))
    assert auth_key(robot, 400)["code"] == "key.needs_tags"
    assert auth_key(robot, 403, tags=["tag:lone"])["code"] == "tags.not_yours"
    for tag in ("tag:web", "tag:db"):  # held; owned by what it holds
        made = register(c, auth_key(robot, tags=[tag], reusable=True)["key"])
        assert made.status == 200 and node_row(c, made.json["nodeId"])[:2] == (None, json.dumps([tag]))
    assert robot("POST", KEYS, {"keyType": "api"}).status == 403
    client_of(robot, ["policy_file"], expect=403)
    client_of(robot, ["auth_keys"], ["tag:web"])
    reader = token_client(c, client_of(c.owner(), ["auth_keys:read", "policy_file"], None))
    assert auth_key(reader, 403, tags=["tag:web"])["code"] == "key.kind"


def test_a_token_ends_with_its_client_and_its_maker(c):
    client = client_of(c.clients["admin"], ["policy_file"])
    robot = token_client(c, client)
    assert robot("GET", "/api/v2/tailnet/-/acl").status == 200
    with c.db() as db:
        db.execute("UPDATE users SET role = 'auditor' WHERE login = 'adam@example.com'")
    assert robot("GET", "/api/v2/tailnet/-/acl").status == 200 and robot.acl(POLICY).status == 403
    with c.db() as db:
        db.execute("UPDATE users SET suspended = 1 WHERE login = 'adam@example.com'")
    assert robot("GET", "/api/v2/tailnet/-/acl").status == 401
    assert token(c, {"client_secret": client["key"]}).status == 401
    with c.db() as db:
        db.execute("UPDATE users SET suspended = 0, role = 'admin' WHERE login = 'adam@example.com'")
    narrower = c.clients["admin"]("PUT", f"{KEYS}/{client['id']}", {"keyType": "client", "scopes": ["policy_file:read"], "description": "less"})
    assert narrower.status == 200 and narrower.json["scopes"] == ["policy_file:read"]
    assert robot("GET", "/api/v2/tailnet/-/acl").status == 401  # what was given out was wider
    robot = token_client(c, client)
    assert c.owner()("DELETE", f"{KEYS}/{client['id']}").status == 200
    assert robot("GET", "/api/v2/tailnet/-/acl").status == 401


def test_a_scope_for_settings_is_none_for_https_or_the_policy(c):
    settings = "/api/v2/tailnet/-/settings"
    narrow = token_client(c, client_of(c.owner(), ["feature_settings"]))
    assert narrow("PATCH", settings, {"usersApprovalOn": False, "httpsEnabled": None}).status == 200
    for body in ({"httpsEnabled": True}, {"aclsExternallyManagedOn": True}):
        a = narrow("PATCH", settings, body)
        assert a.status == 403 and a.json["code"] == "scope.missing", a
    wide = token_client(c, client_of(c.owner(), ["feature_settings", "networking_settings", "policy_file"]))
    for on in (True, False):
        assert wide("PATCH", settings, {"httpsEnabled": on, "aclsExternallyManagedOn": on}).json["httpsEnabled"] is on
