"""Devices over the REST API and over their life: shapes, filters, and what each change does to a public URL."""
import json
import time

import pytest

import control as controllib
from cluster import ZONE, wait_for
from control import OWNER, Client
from test_rest import problem

pytestmark = pytest.mark.loopback

DEVICES = "/api/v2/tailnet/-/devices"
POLICY = """{
  "tagOwners": {"tag:web": ["it@example.com"], "tag:db": []},
  "nodeAttrs": [{"target": ["*"], "attr": ["funnel"]}],
}
"""


@pytest.fixture(scope="module")
def c(folder):
    control = controllib.Control(folder / "devices").configure().start()
    owner = control.owner()
    assert owner("PATCH", "/api/v2/tailnet/-/settings", {"httpsEnabled": True}).status == 200
    assert owner.acl(POLICY).status == 200
    assert owner("POST", "/api/v2/tailnet/-/webhooks", {
        "endpointUrl": "https://hooks.example.com/", "subscriptions": [
            "nodeCreated", "nodeApproved", "nodeDeleted", "nodeKeyExpired", "nodeKeyExpiringInOneDay"]}).status == 200
    yield control
    print(control.log.read_text()[-4000:])
    control.stop()


@pytest.fixture(scope="module")
def owner(c):
    return c.owner()


def at(node, *more):
    return "/".join([f"/api/v2/device/{node.id}", *more])


def get(owner, node, query=""):
    a = owner("GET", at(node) + query)
    assert a.status == 200, a
    return a.json


def change(owner, node, what, body):
    a = owner("POST", at(node, what), body)
    assert a.status == 200 and a.json == {}, a


def events(c, node):
    """Webhooks that were queued about a node: their type and data."""
    with c.db() as db:
        rows = [json.loads(r[0])[0] for r in db.execute("SELECT body FROM webhook_deliveries ORDER BY id")]
    return [(e["type"], e["data"]) for e in rows if e["data"]["nodeID"] == node.id]


def last_audit(owner):
    logs = owner("GET", "/api/v2/tailnet/-/logging/configuration?start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z").json["logs"]
    return logs[-1]


@pytest.fixture
def public(c, owner):
    """A device whose URL is open, with its own stream and a relay's."""
    node = c.register("public")
    relay, stream = c.relay(), c.stream(node)
    assert stream.next()["self"]["approved"] is True
    c.want(node, 443)
    relay.until(lambda d: any(r["node"] == node.id for r in d.get("routes", []) + d.get("set", [])))
    yield node, relay, stream
    relay.close()
    stream.close()
    owner("DELETE", at(node))


def gate(owner, node):
    wait_for(lambda: owner("GET", at(node, "attributes/explain")).status == 200)
    return owner("GET", at(node, "attributes/explain")).json["gate"]["code"]


def asked(c, node):
    """What a device that is shut hears when it asks: nobody is asked for it."""
    a = Client(c, node.token)("POST", "/node/v1/feature/query", {"feature": "funnel", "port": 443, "target": "http://127.0.0.1:1"})
    assert a.status == 200 and a.json["Complete"] is a.json["ShouldWait"] is False and not a.json.get("URL"), a
    return a.json


def closed(relay, name):
    relay.until(lambda d: f"{name}.pango-lin.{ZONE}" in d.get("remove", []) or any(
        f"{name}." in r for r in d.get("remove", [])))


# ---- reading ----

def test_a_device_has_the_shape_that_clients_know(c, owner):
    node = c.register("Ann's Laptop")
    d = get(owner, node)
    assert d["nodeId"] == node.id and d["id"].isdigit() and d["name"] == f"anns-laptop.{d['name'].split('.', 1)[1]}"
    assert d["hostname"] == "Ann's Laptop" and d["user"] == OWNER and d["addresses"] == [node.ipv4, node.ipv6]
    assert d["authorized"] is True and d["isExternal"] is d["isEphemeral"] is d["updateAvailable"] is False
    assert d["nodeKey"] == f"nodekey:{node.transport}" and d["os"] == "linux" and d["clientVersion"] == "1"
    assert d["connectedToControl"] is False and d["lastSeen"] == d["created"] and "tags" not in d
    assert get(owner, node, "?fields=all") == d | {
        "advertisedRoutes": [], "enabledRoutes": [], "sshEnabled": False, "tailnetLockKey": "", "tailnetLockError": "",
        "clientConnectivity": {"endpoints": ["127.0.0.1"]}}
    assert owner("GET", f"/api/v2/device/{d['id']}").json == d
    assert [x for x in owner("GET", DEVICES).json["devices"] if x["nodeId"] == node.id] == [d]
    stream = c.stream(node)
    stream.next()
    assert get(owner, node)["connectedToControl"] is True and "lastSeen" not in get(owner, node)
    stream.close()
    before = time.time() - 2
    wait_for(lambda: get(owner, node)["connectedToControl"] is False)
    with c.db() as db:
        wait_for(lambda: (db.execute("SELECT last_seen FROM nodes WHERE stable_id = ?", (node.id,)).fetchone()[0] or 0) > before)


def test_filters_and_pages(c, owner):
    made = [c.register(f"filter{i}") for i in range(5)]
    change(owner, made[0], "tags", {"tags": ["tag:web"]})
    change(owner, made[1], "tags", {"tags": ["tag:db", "tag:web", "tag:web"]})
    change(owner, made[2], "authorized", {"authorized": False})

    def names(query):
        a = owner("GET", f"{DEVICES}?{query}")
        assert a.status == 200, a
        return [d["name"].split(".")[0] for d in a.json["devices"]]
    assert names("hostname=filter0&hostname=FILTER3") == ["filter0", "filter3"]
    assert names("tags=tag:db") == ["filter1"] and get(owner, made[1])["tags"] == ["tag:db", "tag:web"]
    assert names("tags=tag:web&hostname=filter1&hostname=filter3") == ["filter1"]
    assert names("authorized=false") == ["filter2"] and names("isEphemeral=true") == []
    assert names(f"addresses={made[4].ipv4}") == ["filter4"] and names(f"addresses={made[4].ipv6}") == ["filter4"]
    j = problem(owner("GET", f"{DEVICES}?hostnam=x"), 400, "filter.unknown")
    assert "hostname" in j["fix"]
    problem(owner("GET", DEVICES + "?" + "&".join(["os=x"] * 33)), 400, "filter.too_many")
    # Pages: each device once, in one order, also with a filter.
    everything = owner("GET", DEVICES).json
    assert "nextCursor" not in everything
    seen, cursor, rounds = [], "", 0
    while cursor is not None:
        page = owner("GET", f"{DEVICES}?limit=2&cursor={cursor}").json
        assert len(page["devices"]) <= 2
        seen, cursor, rounds = seen + page["devices"], page.get("nextCursor"), rounds + 1
    assert seen == everything["devices"] and rounds == (len(seen) + 1) // 2
    page = owner("GET", f"{DEVICES}?limit=1&tags=tag:web").json
    rest = owner("GET", f"{DEVICES}?limit=1&tags=tag:web&cursor={page['nextCursor']}").json
    assert page["devices"][0]["nodeId"] == made[0].id and rest["devices"][0]["nodeId"] == made[1].id and "nextCursor" not in rest
    for bad in ("limit=0", "limit=10001", "limit=x", "cursor=%21", "cursor=AAAA"):
        problem(owner("GET", f"{DEVICES}?{bad}"), 400, "page.invalid")
    for node in made:
        assert owner("DELETE", at(node)).status == 200


def test_who_may_not_see_a_device_finds_none(c, owner):
    member, auditor = c.client_of("mia@example.com", "member"), c.client_of("aud@example.com", "auditor")
    hers, other = c.register("hers", "mia@example.com"), c.register("other")
    assert [d["nodeId"] for d in member("GET", DEVICES).json["devices"]] == [hers.id]
    assert member("GET", at(hers)).status == member("GET", at(hers, "attributes")).status == 200
    for path in (at(other), at(other, "attributes"), at(other, "routes"), "/api/v2/device/1", "/api/v2/device/none"):
        problem(member("GET", path), 404, "device.unknown")
    problem(member("DELETE", at(hers)), 403, "role.missing")
    assert auditor("GET", at(other)).status == 200
    problem(auditor("POST", at(other, "authorized"), {"authorized": False}), 403, "role.missing")
    problem(owner("POST", "/api/v2/device/none/expire", ""), 404, "device.unknown")


# ---- what a change does ----

def test_a_device_that_is_not_approved_is_not_public(c, owner, public):
    node, relay, stream = public
    tag = owner("GET", at(node)).headers["ETag"]
    change(owner, node, "authorized", {"authorized": False})
    closed(relay, node.name)
    told = stream.until(lambda line: "self" in line)
    assert told["self"]["approved"] is False and told["funnelPorts"] == []
    assert gate(owner, node) == "not-approved" and get(owner, node)["funnel"] is False
    assert "approved" in asked(c, node)["Text"]
    line = last_audit(owner)
    assert (line["action"], line["old"], line["new"], line["target"]["id"]) == ("NODE.UNAPPROVE", True, False, node.id)
    problem(owner("POST", at(node, "authorized"), {"authorized": True}, If_Match=tag), 412, "precondition.failed")
    change(owner, node, "authorized", {"authorized": True})
    relay.until(lambda d: any(r["node"] == node.id for r in d.get("set", [])))
    assert gate(owner, node) == "open"
    assert [e for e, _ in events(c, node)] == ["nodeApproved"] or [e for e, _ in events(c, node)] == ["nodeCreated", "nodeApproved"]
    problem(owner("POST", at(node, "authorized"), {"authorized": "yes"}), 400, "body.invalid")


def test_a_device_whose_key_has_ended_is_not_public(c, owner, public):
    node, relay, stream = public
    change(owner, node, "key", {"keyExpiryDisabled": True})
    assert get(owner, node)["keyExpiryDisabled"] is True
    change(owner, node, "key", {"keyExpiryDisabled": False})
    d = get(owner, node)
    assert d["keyExpiryDisabled"] is False and d["expires"] > "2026-12"
    assert owner("POST", at(node, "expire")).status == 200
    closed(relay, node.name)
    told = stream.until(lambda line: line.get("self", {}).get("keyExpired"))
    assert told["funnelPorts"] == []
    assert gate(owner, node) == "key-expired"
    assert "expired" in asked(c, node)["Text"]
    wait_for(lambda: "nodeKeyExpired" in [e for e, _ in events(c, node)], 5)
    change(owner, node, "key", {"keyExpiryDisabled": True})
    relay.until(lambda d: any(r["node"] == node.id for r in d.get("set", [])))
    assert gate(owner, node) == "open"


def test_a_key_ends_at_its_time(c, owner, public):
    node, relay, _ = public
    end = int(time.time()) + 3
    with c.db() as db:
        db.execute("UPDATE nodes SET key_expires = ?, key_expiry_disabled = 0 WHERE stable_id = ?", (end, node.id))
    assert gate(owner, node) == "open"
    closed(relay, node.name)
    assert end <= time.time() < end + 3
    assert [e for e, _ in events(c, node) if e == "nodeKeyExpired"] == ["nodeKeyExpired"]
    time.sleep(4)
    assert [e for e, _ in events(c, node) if e == "nodeKeyExpired"] == ["nodeKeyExpired"]  # said once


def test_a_new_name(c, owner, public):
    node, relay, stream = public
    with c.db() as db:
        db.execute("INSERT INTO certificates(node_id, state, order_id, csr, spki, updated) SELECT id, 'failed', 'x', '', '', 1 "
                   "FROM nodes WHERE stable_id = ?", (node.id,))
    other = c.register("taken")
    problem(owner("POST", at(node, "name"), {"name": other.name}), 409, "device.name_taken")
    for bad in ("", "Up", "a b", "-a", "a" * 64, "web.other.example", "a..b"):
        problem(owner("POST", at(node, "name"), {"name": bad}), 400, "device.name")
    change(owner, node, "name", {"name": "renamed"})
    line = relay.until(lambda d: d.get("set"))
    assert line["set"][0]["name"].startswith("renamed.") and line["remove"][0].startswith("public")
    stream.until(lambda x: "certNames" in x and "renamed" in x["certNames"][0])
    with c.db() as db:
        assert db.execute("SELECT count(*) FROM certificates").fetchone() == (0,)  # it was for the old name
    full = get(owner, node)["name"]
    change(owner, node, "name", {"name": full})  # the whole name is the same name
    assert get(owner, node)["name"] == full
    assert last_audit(owner)["target"]["property"] == "NAME"
    assert owner("DELETE", at(other)).status == 200


def test_tags_take_the_owners_place(c, owner, public):
    node, relay, _ = public
    it, it2 = c.client_of("it@example.com", "it-admin"), c.client_of("it2@example.com", "it-admin")
    problem(owner("POST", at(node, "tags"), {"tags": ["tag:none"]}), 400, "device.tag_unknown")
    problem(it2("POST", at(node, "tags"), {"tags": ["tag:web"]}), 403, "device.tag_denied")
    problem(it("POST", at(node, "tags"), {"tags": ["tag:web", "tag:db"]}), 403, "device.tag_denied")
    for bad in ({}, {"tags": "tag:web"}, {"tags": [1]}, {"tags": ["tag:web"] * 17}):
        problem(owner("POST", at(node, "tags"), bad), 400, "body.invalid")
    change(owner, node, "key", {"keyExpiryDisabled": False})
    change(it, node, "tags", {"tags": ["tag:web"]})
    d = get(owner, node)
    assert d["tags"] == ["tag:web"] and d["keyExpiryDisabled"] is True and "expires" not in d
    with c.db() as db:
        assert db.execute("SELECT user_id FROM nodes WHERE stable_id = ?", (node.id,)).fetchone() == (None,)
    line = last_audit(owner)
    assert line["old"] == [] and line["new"] == ["tag:web"] and line["actor"]["loginName"] == "it@example.com"
    change(it2, node, "tags", {"tags": None})
    d = get(owner, node)
    assert "tags" not in d and d["user"] == "it2@example.com" and d["expires"]


def test_an_address(c, owner, public):
    node, _, stream = public
    other = c.register("addressed")
    for bad in ("10.0.0.1", "100.100.100.7", "100.115.92.1", "fd7a:115c:a1e0::1", "x", "100.128.0.1", "100.64.0.1/32"):
        problem(owner("POST", at(node, "ip"), {"ipv4": bad}), 400, "device.ip" if len(bad) < 16 else "body.invalid")
    problem(owner("POST", at(node, "ip"), {"ipv4": other.ipv4}), 409, "device.ip_taken")
    change(owner, node, "ip", {"ipv4": "100.99.1.2"})
    assert get(owner, node)["addresses"][0] == "100.99.1.2"
    assert stream.until(lambda x: "self" in x)["self"]["ipv4"] == "100.99.1.2"


def test_routes_are_empty(c, owner, public):
    node, _, _ = public
    empty = {"advertisedRoutes": [], "enabledRoutes": []}
    assert owner("GET", at(node, "routes")).json == empty
    assert owner("POST", at(node, "routes"), {"routes": []}).json == empty
    problem(owner("POST", at(node, "routes"), {"routes": ["10.0.0.0/8"]}), 400, "routes.not_supported")


def test_attributes(c, owner, public):
    node, _, _ = public
    path = at(node, "attributes")
    first = owner("GET", path)
    assert first.json == {"attributes": {"node:os": "linux", "node:tsVersion": "1", "node:tsReleaseTrack": "stable"}, "expiries": {}}
    a = owner("POST", f"{path}/custom:team", {"value": "web", "comment": "who to ask"}, If_Match=first.headers["ETag"])
    assert a.status == 200 and a.json["attributes"]["custom:team"] == "web" and a.headers["Warning"] is None
    problem(owner("POST", f"{path}/custom:team", {"value": 7}, If_Match=first.headers["ETag"]), 412, "precondition.failed")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    a = owner("POST", f"{path}/custom:for_now", {"value": True, "expiry": soon})
    assert a.json["attributes"]["custom:for_now"] is True and a.json["expiries"] == {"custom:for_now": soon}
    assert owner("POST", f"{path}/custom:n", {"value": 7.5}).json["attributes"]["custom:n"] == 7.5
    line = last_audit(owner)
    assert line["action"] == "NODE.UPDATE.ATTRIBUTE" and line["target"]["property"] == "custom:n" and line["new"] == 7.5
    for key in ("node:os", "custom:", "custom:a-b", "custom:" + "a" * 51, "explain"):
        problem(owner("POST", f"{path}/{key}", {"value": 1}), 400, "attribute.name")
        problem(owner("DELETE", f"{path}/{key}"), 400, "attribute.name")
    for value in ("a" * 51, [], {}, "a\nb"):
        problem(owner("POST", f"{path}/custom:x", {"value": value}), 400, "attribute.value")
    problem(owner("POST", f"{path}/custom:x", {"value": None}), 400, "body.invalid")
    problem(owner("POST", f"{path}/custom:x", {"value": 1, "expiry": "2020-01-01T00:00:00Z"}), 400, "attribute.expiry")
    wait_for(lambda: "custom:for_now" not in owner("GET", path).json["attributes"], 5)
    assert owner("DELETE", f"{path}/custom:team").status == 200
    problem(owner("DELETE", f"{path}/custom:team"), 404, "attribute.unknown")
    assert "custom:team" not in owner("GET", path).json["attributes"]


# ---- leaving ----

def test_a_deleted_device_has_gone_at_once(c, owner, public):
    node, relay, stream = public
    assert owner("DELETE", at(node)).status == 200
    closed(relay, node.name)
    stream.thread.join(5)
    assert not stream.thread.is_alive()  # control ended it
    problem(owner("GET", at(node)), 404, "device.unknown")
    problem(owner("DELETE", at(node)), 404, "device.unknown")
    assert Client(c, node.token)("PUT", "/node/v1/funnels", {"funnels": []}).status == 401
    kind, data = events(c, node)[-1]
    assert kind == "nodeDeleted" and data["managedBy"] == OWNER and data["actor"] == OWNER
    assert last_audit(owner)["action"] == "NODE.DELETE"


def test_logging_out_is_leaving(c, owner):
    node = c.register("leaver")
    assert Client(c, node.token)("POST", "/node/v1/logout", "{}").status == 204
    assert events(c, node)[-1][0] == "nodeDeleted" and last_audit(owner)["action"] == "NODE.LOGOUT"
    problem(owner("GET", at(node)), 404, "device.unknown")


def test_once_a_minute(c, owner):
    """Ephemeral devices that are away leave; the others stay; a key's last day is told; what is old goes."""
    away, here, kept, ending = (c.register(n) for n in ("away", "here", "kept", "ending"))
    stream = c.stream(here)
    stream.next()
    now = int(time.time())
    with c.db() as db:
        db.execute("UPDATE nodes SET ephemeral = 1, last_seen = ? WHERE stable_id IN (?, ?)", (now - 601, away.id, here.id))
        db.execute("UPDATE nodes SET ephemeral = 1, last_seen = ? WHERE stable_id = ?", (now - 300, kept.id))
        db.execute("UPDATE nodes SET key_expires = ?, key_expiry_disabled = 0 WHERE stable_id = ?", (now + 86000, ending.id))
        db.execute("INSERT INTO audit(tailnet_id, at, actor, action, target, detail, remote) VALUES(1, ?, 'x', 'OLD', '', '', '')",
                   (now - 401 * 86400,))
    wait_for(lambda: owner("GET", at(away)).status == 404, 70)
    assert events(c, away)[-1][0] == "nodeDeleted"
    assert owner("GET", at(here)).status == owner("GET", at(kept)).status == 200
    assert [e for e, _ in events(c, ending) if e != "nodeCreated"] == ["nodeKeyExpiringInOneDay"]
    with c.db() as db:
        assert db.execute("SELECT count(*) FROM audit WHERE action = 'OLD'").fetchone() == (0,)
        wait_for(lambda: db.execute("SELECT last_seen FROM nodes WHERE stable_id = ?", (here.id,)).fetchone()[0] >= now, 5)
    assert gate(owner, ending) == "open"
    stream.close()
