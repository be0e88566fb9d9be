"""Tailscale's own Go client, version 2, as the server meets it: the requests that it sends (the key as user name of Basic,
`null` for an empty list, 0 and 0001-01-01 for "not set"), and answers that its decoder takes: a wrong type or an empty time is
an error there, an unknown member and `null` are none. Shapes recorded from its source; the client itself is Go and stays out.
"""
import base64
import datetime
import re

import control as controllib
import pytest

pytestmark = pytest.mark.loopback

ZERO_TIME = "0001-01-01T00:00:00Z"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def time(v):
    assert isinstance(v, str) and RFC3339.fullmatch(v), f"{v!r} is no RFC 3339 time"
    datetime.datetime.fromisoformat(v.replace("Z", "+00:00"))


def time_or_empty(v):
    v == "" or time(v)


def list_of(kind):
    return lambda v: [decode(kind, x) for x in v] if isinstance(v, list) else pytest.fail(f"{v!r} is no list")


def decode(kind, v):
    """As encoding/json into a struct: what is there must have its type; null is the zero value."""
    if v is None:
        return
    if isinstance(kind, dict):
        assert isinstance(v, dict), f"{v!r} is no object"
        folded = {k.lower(): x for k, x in v.items()}  # Go's decoder does not mind the case
        for name, inner in kind.items():
            if name.lower() in folded:
                try:
                    decode(inner, folded[name.lower()])
                except AssertionError as e:
                    raise AssertionError(f"{name}: {e}") from None
    elif isinstance(kind, type):
        assert isinstance(v, kind) and not (kind is int and isinstance(v, bool)), f"{v!r} is no {kind.__name__}"
    else:
        kind(v)


STRINGS = list_of(str)
DEVICE = {"addresses": STRINGS, "name": str, "id": str, "nodeId": str, "authorized": bool, "user": str, "tags": STRINGS, "keyExpiryDisabled": bool,
          "blocksIncomingConnections": bool, "clientVersion": str, "created": time_or_empty, "expires": time_or_empty, "hostname": str,
          "isEphemeral": bool, "isExternal": bool, "lastSeen": time_or_empty, "machineKey": str, "nodeKey": str, "os": str,
          "tailnetLockError": str, "tailnetLockKey": str, "updateAvailable": bool, "advertisedRoutes": STRINGS, "enabledRoutes": STRINGS,
          "clientConnectivity": {"endpoints": STRINGS, "derp": str, "mappingVariesByDestIP": bool, "latency": dict, "clientSupports": dict}}
CREATE = {"reusable": bool, "ephemeral": bool, "tags": STRINGS, "preauthorized": bool}
KEY = {"id": str, "keyType": str, "key": str, "description": str, "expirySeconds": int, "created": time, "expires": time, "revoked": time,
       "invalid": bool, "capabilities": {"devices": {"create": CREATE}}, "scopes": STRINGS, "tags": STRINGS, "userId": str}
USER = {"id": str, "displayName": str, "loginName": str, "profilePicUrl": str, "tailnetId": str, "created": time, "type": str, "role": str,
        "status": str, "deviceCount": int, "lastSeen": time, "currentlyConnected": bool}
WEBHOOK = {"endpointId": str, "endpointUrl": str, "providerType": str, "creatorLoginName": str, "created": time, "lastModified": time,
           "subscriptions": STRINGS, "secret": str}
SETTINGS = {"aclsExternallyManagedOn": bool, "aclsExternalLink": str, "devicesApprovalOn": bool, "devicesAutoUpdatesOn": bool,
            "devicesKeyDurationDays": int, "usersApprovalOn": bool, "usersRoleAllowedToJoinExternalTailnets": str, "networkFlowLoggingOn": bool,
            "regionalRoutingOn": bool, "postureIdentityCollectionOn": bool, "httpsEnabled": bool}
CONTACT = {"email": str, "fallbackEmail": str, "needsVerification": bool}


class GoClient:
    """buildRequest and do: Basic with an empty password; Accept without a body, Content-Type with one."""

    def __init__(self, control, key):
        self.c = controllib.Client(control, key)
        self.basic = "Basic " + base64.b64encode(f"{key}:".encode()).decode()

    def raw(self, method, path, body=None, content="application/json", **headers):
        headers |= {"Authorization": self.basic, "User_Agent": "tailscale-client-go"}
        if body is None:
            return self.c(method, f"/api/v2/{path}", None, Accept=content, Content_Length="0" if method in ("POST", "PUT") else None, **headers)
        return self.c(method, f"/api/v2/{path}", body, Content_Type=content, **headers)

    def __call__(self, method, path, body=None, out=None, **kw):
        answer = self.raw(method, path, body, **kw)
        assert 200 <= answer.status < 300, answer
        if out is not None:
            decode(out, answer.json)
            return answer.json
        return answer

    def refused(self, status, method, path, body=None, **kw):
        answer = self.raw(method, path, body, **kw)
        assert answer.status == status, answer
        decode({"message": str, "data": list_of({"user": str, "errors": STRINGS})}, answer.json)
        assert answer.json["message"]
        return answer.json


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    c = controllib.Control(tmp_path_factory.mktemp("v2")).configure().start()
    yield c
    c.stop()


@pytest.fixture(scope="module")
def go(control):
    return GoClient(control, control.secret("api-key"))


def test_devices(go, control):
    node = control.register("laptop")
    listed = go("GET", "tailnet/-/devices", out={"devices": list_of(DEVICE)})["devices"]
    assert [d["nodeId"] for d in listed] == [node.id]
    go("GET", "tailnet/-/devices?fields=all", out={"devices": list_of(DEVICE)})
    device = go("GET", f"device/{node.id}", out=DEVICE)
    assert set(DEVICE) - set(device) <= {"lastSeen", "tags", "advertisedRoutes", "enabledRoutes", "clientConnectivity", "tailnetLockError",
                                         "tailnetLockKey", "expires"}
    go("GET", f"device/{device['id']}?fields=all", out=DEVICE)
    go("POST", f"device/{node.id}/authorized", {"authorized": True})
    go("POST", f"device/{node.id}/name", {"name": "desk"})
    go("POST", f"device/{node.id}/tags", {"tags": None})
    go("POST", f"device/{node.id}/key", {"keyExpiryDisabled": True})
    go("POST", f"device/{node.id}/ip", {"ipv4": "100.80.0.1"})
    assert go("GET", f"device/{node.id}/routes", out={"advertisedRoutes": STRINGS, "enabledRoutes": STRINGS}).keys() >= {"advertisedRoutes"}
    go("POST", f"device/{node.id}/attributes/custom:tier", {"value": "prod", "expiry": ZERO_TIME, "comment": ""})
    attributes = go("GET", f"device/{node.id}/attributes", out={"attributes": dict, "expiries": dict})
    assert attributes["attributes"]["custom:tier"] == "prod" and "custom:tier" not in (attributes.get("expiries") or {})
    go("DELETE", f"device/{node.id}/attributes/custom:tier")
    after = go("GET", f"device/{node.id}", out=DEVICE)
    assert after["name"].startswith("desk.") and "100.80.0.1" in after["addresses"] and after["keyExpiryDisabled"] is True
    go("DELETE", f"device/{node.id}")
    go.refused(404, "GET", f"device/{node.id}")
    go.refused(404, "DELETE", f"device/{node.id}")


def test_keys(go):
    body = {"capabilities": {"devices": {"create": {"reusable": False, "ephemeral": False, "tags": None, "preauthorized": True}}},
            "expirySeconds": 0, "description": ""}
    made = go("POST", "tailnet/-/keys", body, out=KEY)
    assert made["key"] and made["capabilities"]["devices"]["create"]["preauthorized"] is True
    client = go("POST", "tailnet/-/keys", {"keyType": "client", "scopes": ["devices:core:read"], "tags": None, "description": "ci"}, out=KEY)
    for key in made, client:
        again = go("GET", f"tailnet/-/keys/{key['id']}", out=KEY)
        assert not again.get("key")
    for path in "tailnet/-/keys", "tailnet/-/keys?all=true":
        assert made["id"] in [k["id"] for k in go("GET", path, out={"keys": list_of(KEY)})["keys"]]
    go("DELETE", f"tailnet/-/keys/{made['id']}")
    revoked = go("GET", f"tailnet/-/keys/{made['id']}", out=KEY)
    assert revoked["invalid"] is True and revoked["revoked"]
    go.refused(404, "GET", "tailnet/-/keys/kNothing")


def test_the_policy_file(go):
    first = go("GET", "tailnet/-/acl", content="application/hujson")
    assert first.headers["ETag"].strip('"') and b"//" in first.raw
    go("GET", "tailnet/-/acl", out=dict)  # as JSON, without comments
    go("POST", "tailnet/-/acl", '// ours\n{"groups": {"group:dev": ["ann@example.com"]}}\n', content="application/hujson", If_Match='"ts-default"')
    now = go("GET", "tailnet/-/acl", content="application/hujson")
    refusal = go.refused(412, "POST", "tailnet/-/acl", "{}\n", content="application/hujson", If_Match=first.headers["ETag"])
    assert refusal["message"] == "precondition failed, invalid old hash"
    go.refused(412, "POST", "tailnet/-/acl", "{}\n", content="application/hujson", If_Match='"ts-default"')
    assert go("POST", "tailnet/-/acl/validate", now.text, content="application/hujson").json == {}
    bad = go("POST", "tailnet/-/acl/validate", '{"acls": [{"action": "explode", "src": ["*"], "dst": ["*:*"]}]}', content="application/hujson").json
    decode({"message": str, "data": list_of({"user": str, "errors": STRINGS})}, bad)
    assert bad["message"]
    go("POST", "tailnet/-/acl", "", content="application/hujson")  # Terraform's destroy: the default again
    assert go("GET", "tailnet/-/acl", content="application/hujson").raw == first.raw


def test_users_contacts_and_settings(go):
    (ann,) = go("GET", "tailnet/-/users?type=member&role=owner", out={"users": list_of(USER)})["users"]
    go("GET", "tailnet/-/users", out={"users": list_of(USER)})
    go("GET", f"users/{ann['id']}", out=USER)
    go("GET", "tailnet/-/contacts", out={"account": CONTACT, "support": CONTACT, "security": CONTACT})
    go("PATCH", "tailnet/-/contacts/security", {"email": "abuse@example.com"})
    assert go("GET", "tailnet/-/contacts", out={"security": CONTACT})["security"]["email"] == "abuse@example.com"
    before = go("GET", "tailnet/-/settings", out=SETTINGS)
    go("PATCH", "tailnet/-/settings", {"devicesApprovalOn": True, "aclsExternallyManagedOn": None, "aclsExternalLink": None})
    after = go("GET", "tailnet/-/settings", out=SETTINGS)
    assert after == before | {"devicesApprovalOn": True}
    go("PATCH", "tailnet/-/settings", {"httpsEnabled": True, "devicesApprovalOn": False, "aclsExternallyManagedOn": None, "aclsExternalLink": None})
    assert go("GET", "tailnet/-/settings", out=SETTINGS)["httpsEnabled"] is True


def test_dns(go):
    go("POST", "tailnet/-/dns/nameservers", {"dns": ["192.0.2.53"]})
    assert go("GET", "tailnet/-/dns/nameservers", out={"dns": STRINGS})["dns"] == ["192.0.2.53"]
    go("POST", "tailnet/-/dns/searchpaths", {"searchPaths": ["example.net"]})
    assert go("GET", "tailnet/-/dns/searchpaths", out={"searchPaths": STRINGS})["searchPaths"] == ["example.net"]
    go("POST", "tailnet/-/dns/preferences", {"magicDNS": True})
    assert go("GET", "tailnet/-/dns/preferences", out={"magicDNS": bool})["magicDNS"] is True
    go("PUT", "tailnet/-/dns/split-dns", {"corp.example": ["192.0.2.1"]})
    go("PATCH", "tailnet/-/dns/split-dns", {"lab.example": ["192.0.2.2"], "corp.example": []}, out=dict)
    assert set(go("GET", "tailnet/-/dns/split-dns", out=dict)) >= {"lab.example"}


def test_webhooks(go):
    made = go("POST", "tailnet/-/webhooks", {"endpointUrl": "https://example.org/h", "providerType": "", "subscriptions": ["nodeCreated"]}, out=WEBHOOK)
    assert made["secret"]
    path = f"webhooks/{made['endpointId']}"
    go("PATCH", path, {"subscriptions": ["nodeCreated", "nodeDeleted"]}, out=WEBHOOK)
    assert len(go("GET", path, out=WEBHOOK)["subscriptions"]) == 2
    assert go("POST", f"{path}/rotate", out=WEBHOOK)["secret"] != made["secret"]
    go("POST", f"{path}/test")
    assert go("GET", "tailnet/-/webhooks", out={"webhooks": list_of(WEBHOOK)})["webhooks"]
    go("DELETE", path)
    go.refused(404, "GET", path)


def test_oauth_as_go_does_it(go, control):
    """x/oauth2 tries the credentials in Basic first; the token then goes as Bearer."""
    client = go("POST", "tailnet/-/keys", {"keyType": "client", "scopes": ["devices:core:read"], "tags": None, "description": ""}, out=KEY)
    basic = base64.b64encode(f"{client['id']}:{client['key']}".encode()).decode()
    answer = controllib.Client(control, "")("POST", "/api/v2/oauth/token", "grant_type=client_credentials", Authorization=f"Basic {basic}",
                                            Content_Type="application/x-www-form-urlencoded")
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store", answer
    decode({"access_token": str, "token_type": str, "expires_in": int}, answer.json)
    bearer = controllib.Client(control, answer.json["access_token"])
    assert bearer("GET", "/api/v2/tailnet/-/devices").status == 200
    assert bearer("GET", "/api/v2/tailnet/-/users").status == 403


def test_unknown_paths_are_json(go):
    go.refused(404, "GET", "tailnet/-/vip-services")
    go.refused(404, "GET", "nothing/of/the/kind")
    go.refused(405, "PUT", "tailnet/-/devices", {})
