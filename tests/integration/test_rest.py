"""What every call of the REST API shares (docs/api.md, "Every call")."""
import concurrent.futures
import json

import pytest

import control as controllib
from control import Browser, Client

pytestmark = pytest.mark.loopback

HOOKS = "/api/v2/tailnet/-/webhooks"
HOOK = {"endpointUrl": "https://hooks.example.com/a", "subscriptions": ["nodeCreated"]}


@pytest.fixture(scope="module")
def c(folder):
    control = controllib.Control(folder / "rest").configure().start()
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


@pytest.fixture(scope="module")
def browser(c):
    return Browser(c)


def problem(answer, status, code):
    assert answer.status == status, answer
    j = answer.json
    assert j["code"] == code and j["status"] == status and j["data"] == [] and j["message"] and j["fix"], answer
    assert len(j["requestId"]) == 16 and answer.headers["Content-Type"] == "application/json"
    return j


# ---- who asks ----

def test_the_console_calls_with_its_session(c, browser):
    me = browser("GET", "/api/v2/whoami").json
    assert me["role"] == "owner" and me["displayName"] == me["loginName"] == controllib.OWNER
    assert {"policy.write", "machines.write", "funnel.off"} <= set(me["permissions"]) and len(me["csrfToken"]) == 64
    by_key = c.owner()("GET", "/api/v2/whoami").json
    assert "csrfToken" not in by_key and by_key["permissions"] == me["permissions"]
    a = browser("POST", HOOKS, HOOK)
    assert a.status == 200, a
    log = browser("GET", "/api/v2/tailnet/-/logging/configuration?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z").json["logs"]
    assert log[-1]["origin"] == "CONSOLE" and log[-1]["actor"]["loginName"] == controllib.OWNER
    assert browser("DELETE", f"/api/v2/webhooks/{a.json['endpointId']}").status == 200


@pytest.mark.parametrize("headers", [
    {"X_Requested_With": None}, {"X_Csrf_Token": None}, {"X_Csrf_Token": "0" * 64}, {"Origin": "https://evil.example"},
    {"Origin": None, "Sec_Fetch_Site": "cross-site"}, {"Origin": None, "Sec_Fetch_Site": "same-site"},
    {"Origin": None, "Sec_Fetch_Site": None}])
def test_a_foreign_page_cannot_use_the_session(browser, headers):
    before = browser("GET", HOOKS).json
    problem(browser("POST", HOOKS, HOOK, **headers), 403, "csrf")
    assert browser("GET", HOOKS).json == before


def test_a_foreign_page_cannot_read_with_the_session(browser):
    problem(browser("GET", "/api/v2/whoami", X_Requested_With=None), 403, "csrf")
    problem(browser("GET", "/api/v2/whoami", Sec_Fetch_Site="cross-site"), 403, "csrf")
    problem(browser("GET", "/api/v2/whoami", Cookie="__Host-funnel=" + "a" * 32), 401, "auth.required")
    # A key in the header counts, the cookie beside it does not.
    problem(browser("GET", "/api/v2/whoami", Authorization="Bearer wrong"), 401, "auth.required")


# ---- errors ----

@pytest.mark.parametrize("method, path, status, code", [
    ("GET", "/api/v2/tailnet/-/posture/integrations", 404, "not_supported"), ("POST", "/api/v2/device/1/device-invites", 404, "not_supported"),
    ("PUT", "/api/v2/tailnet/-/logging/network/stream", 404, "not_supported"), ("GET", "/network", 404, "not_found"),
    ("GET", "/api/v2/nothing", 404, "not_found"), ("GET", "/api/v2/whoami/x", 404, "not_found"), ("GET", "/nothing", 404, "not_found"),
    ("POST", "/api/v2/whoami", 405, "method.not_allowed"), ("PURGE", "/api/v2/whoami", 405, "method.not_allowed"),
    ("GET", "/api/v2/tailnet/other/acl", 404, "tailnet.unknown"), ("GET", "/api/v2/webhooks/none", 404, "webhook.unknown"),
    ("POST", HOOKS, 400, "body.invalid")])
def test_what_is_refused_is_json(c, method, path, status, code):
    problem(c.owner()(method, path, "" if method == "POST" and path == HOOKS else None), status, code)


def test_the_rest_of_what_is_refused(c):
    owner = c.owner()
    a = Client(c, "")("GET", "/api/v2/whoami", Authorization=None)
    problem(a, 401, "auth.required")
    assert a.headers["WWW-Authenticate"]
    problem(owner("POST", HOOKS, "x" * 20000), 413, "body.too_long")
    problem(owner("POST", HOOKS, "<a/>", Content_Type="application/xml"), 415, "body.type")
    assert owner("POST", "/api/v2/whoami").headers["Allow"] == "GET"
    assert owner("GET", "/api/v2/whoami/").status == 200
    member = c.client_of("member@example.com", "member")
    problem(member("GET", HOOKS), 403, "role.missing")


def test_a_message_that_quotes_half_a_character_is_still_one(c):
    for body in ('{"endpointUrl": "\\u202\ud7ff"}', '{"endpointUrl": "é', '"\x00é'):
        assert "line 1" in problem(c.owner()("POST", HOOKS, body), 400, "body.invalid")["message"]


def test_unknown_members_are_named(c):
    a = c.owner()("POST", HOOKS, HOOK | {"endpointURL": "x", "ev\"il\r\nX-A: b": 1})
    assert a.status == 200 and a.headers["Warning"] == '299 - "unknown members are ignored: endpointURL, ev?il??X-A:?b"', a.headers
    assert "X-A" not in a.headers
    assert c.owner()("DELETE", f"/api/v2/webhooks/{a.json['endpointId']}").headers["Warning"] is None


# ---- entity tags ----

def test_a_write_over_another_one_is_refused(c):
    owner = c.owner()
    hook = owner("POST", HOOKS, HOOK)
    path = f"/api/v2/webhooks/{hook.json['endpointId']}"
    read = owner("GET", path)
    tag = read.headers["ETag"]
    assert tag == hook.headers["ETag"] and len(tag) == 34
    not_changed = owner("GET", path, If_None_Match=f'"x", W/{tag}')
    assert not_changed.status == 304 and not_changed.raw == b"" and not_changed.headers["ETag"] == tag
    assert owner("GET", path, If_None_Match='"x"').status == 200
    changed = owner("PATCH", path, {"subscriptions": ["nodeDeleted"]}, If_Match=tag)
    assert changed.status == 200 and changed.headers["ETag"] != tag
    for method, at, body in (("PATCH", path, {"subscriptions": []}), ("DELETE", path, None), ("POST", f"{path}/rotate", "")):
        a = owner(method, at, body, If_Match=tag)
        assert problem(a, 412, "precondition.failed")["message"] == "precondition failed, invalid old hash"
        assert a.headers["ETag"] == changed.headers["ETag"]
    assert owner("GET", path).json["subscriptions"] == ["nodeDeleted"]
    assert owner("DELETE", path, If_Match="*").status == 200


def test_settings_have_a_tag(c):
    owner, path = c.owner(), "/api/v2/tailnet/-/settings"
    tag = owner("GET", path).headers["ETag"]
    assert owner("PATCH", path, {"policyFormatOnSave": True}, If_Match=tag).status == 200
    problem(owner("PATCH", path, {"policyFormatOnSave": False}, If_Match=tag), 412, "precondition.failed")
    assert owner("PATCH", path, {"policyFormatOnSave": False}).headers["ETag"] == tag


# ---- once ----

def test_a_repeated_create_makes_one(c):
    owner, other = c.owner(), c.client_of("other@example.com", "admin")
    before = len(owner("GET", HOOKS).json["webhooks"])
    first = owner("POST", HOOKS, HOOK, Idempotency_Key="k1")
    again = owner("POST", HOOKS, HOOK, Idempotency_Key="k1")
    assert first.status == again.status == 200 and first.raw == again.raw and first.json["secret"]
    assert again.headers["Idempotency-Replayed"] == "true" and first.headers["Idempotency-Replayed"] is None
    problem(owner("POST", HOOKS, HOOK | {"subscriptions": []}, Idempotency_Key="k1"), 409, "idempotency.reused")
    problem(owner("POST", f"/api/v2/webhooks/{first.json['endpointId']}/test", HOOK, Idempotency_Key="k1"), 409, "idempotency.reused")
    # The secret in the stored answer is sealed; another credential's key is another key.
    with c.db() as db:
        assert first.json["secret"].encode() not in b"".join(r[0].encode() for r in db.execute("SELECT reply FROM idempotency"))
    assert other("POST", HOOKS, HOOK, Idempotency_Key="k1").json["endpointId"] != first.json["endpointId"]
    assert len(owner("GET", HOOKS).json["webhooks"]) == before + 2
    # A repetition does not make it last longer.
    with c.db() as db:
        db.execute("UPDATE idempotency SET created = created - 80000")
    assert owner("POST", HOOKS, HOOK, Idempotency_Key="k1").raw == first.raw
    with c.db() as db:
        assert db.execute("SELECT max(created) < unixepoch() - 79000 FROM idempotency WHERE key = 'k1'").fetchone() == (1,)
    # A day later it is forgotten.
    with c.db() as db:
        db.execute("UPDATE idempotency SET created = created - 86401")
    assert owner("POST", HOOKS, HOOK, Idempotency_Key="k1").json["endpointId"] != first.json["endpointId"]


def test_what_was_refused_may_be_tried_again(c):
    owner = c.owner()
    problem(owner("POST", HOOKS, {"endpointUrl": "no"}, Idempotency_Key="k2"), 400, "body.invalid")
    assert owner("POST", HOOKS, HOOK, Idempotency_Key="k2").status == 200
    problem(owner("POST", HOOKS, HOOK, Idempotency_Key="k" * 256), 400, "idempotency.invalid")


def test_many_at_once_make_one(c):
    owner = c.owner()
    before = len(owner("GET", HOOKS).json["webhooks"])
    key = c.secret("api-key")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: Client(c, key)("POST", HOOKS, HOOK, Idempotency_Key="k3"), range(32)))
    assert {a.status for a in made} <= {200, 409} and len({a.json["endpointId"] for a in made if a.status == 200}) == 1
    assert len(owner("GET", HOOKS).json["webhooks"]) == before + 1


# ---- the rate ----

def test_a_credential_has_a_rate(folder):
    control = controllib.Control(folder / "rate")
    control.api = {"rate": 5, "burst": 20}
    control.configure().start()
    try:
        owner = control.owner()
        codes = [owner("GET", "/api/v2/whoami").status for _ in range(30)]
        assert codes[:20] == [200] * 20 and 429 in codes
        a = next(a for a in iter(lambda: owner("GET", "/api/v2/whoami"), None) if a.status == 429)
        problem(a, 429, "rate.limited")
        assert int(a.headers["Retry-After"]) >= 1
        assert Client(control, control.new_key("api"))("GET", "/api/v2/whoami").status == 200  # another credential
    finally:
        control.stop()


def test_the_configuration_is_checked(folder):
    control = controllib.Control(folder / "bad")
    control.api = {"rate": -1}
    with pytest.raises(Exception, match="rate"):
        control.configure()
    assert json.dumps(control.api)
