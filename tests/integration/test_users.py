"""Users, invitations, contacts and DNS settings: rules of the roles, what follows from a change, and what tools send."""
import json
import re
import subprocess
import time

import pytest

from cluster import BIN
from control import OWNER, Control, Stream

NETWORK = "/api/v2/tailnet/-"
MANAGERS = ("owner", "admin", "it-admin")


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    control = Control(tmp_path_factory.mktemp("users")).configure().start()
    control.clients = {"owner": control.owner()}
    for name, role in (("adam", "admin"), ("nina", "network-admin"), ("ivy", "it-admin"), ("uma", "auditor"), ("max", "member")):
        control.clients[role] = control.client_of(f"{name}@example.com", role)
    assert control.owner()("PATCH", NETWORK + "/settings", {"httpsEnabled": True}).status == 200
    assert control.owner().acl('{"nodeAttrs": [{"target": ["autogroup:member"], "attr": ["funnel"]}]}').status == 200
    yield control
    control.stop()


def users(c, query=""):
    a = c.owner()("GET", NETWORK + "/users" + query)
    assert a.status == 200, a
    return {u["loginName"]: u for u in a.json["users"]}


def user_id(c, login):
    return users(c)[login]["id"]


def act(who, c, login, verb, body=None):
    return who("POST", f"/api/v2/users/{user_id(c, login)}/{verb}", body or {})


def newcomer(c, name, role="member"):
    login = f"{name}@example.com"
    return login, c.client_of(login, role)


def log_of(c, login):
    log = c.owner()("GET", NETWORK + "/logging/configuration?start=2020-01-01T00:00:00Z&end=2099-01-01T00:00:00Z").json["logs"]
    return [e for e in log if e["target"].get("name") == login]


def test_list_and_one(c):
    everybody = users(c)
    ann = everybody[OWNER]
    assert ann["role"] == "owner" and ann["type"] == "member" and ann["created"] and ann["tailnetId"]
    assert set(users(c, "?role=auditor")) == {"uma@example.com"} and users(c, "?type=shared") == {}
    one = c.owner()("GET", f"/api/v2/users/{ann['id']}")
    assert one.json == ann and one.headers["ETag"]
    assert c.owner()("GET", "/api/v2/users/nobody").status == 404
    assert "lastSeen" not in everybody["max@example.com"]


def test_who_reads_and_who_writes(c):
    login, _ = newcomer(c, "pat")
    for role, who in c.clients.items():
        assert who("GET", NETWORK + "/users").status == (403 if role == "member" else 200)
        assert act(who, c, login, "suspend").status == (200 if role in MANAGERS else 403), role
        assert act(who, c, login, "restore").status == (200 if role in MANAGERS else 403), role
        assert who("GET", NETWORK + "/user-invites").status == (200 if role in MANAGERS else 403), role


def test_a_role_takes_effect_on_the_next_request(c):
    login, who = newcomer(c, "rob", "auditor")
    assert who("GET", NETWORK + "/users").status == 200
    assert act(c.clients["admin"], c, login, "role", {"role": "member"}).status == 200
    assert who("GET", NETWORK + "/users").status == 403
    assert act(c.clients["it-admin"], c, login, "role", {"role": "admin"}).status == 200  # stronger than the giver
    assert who.acl('{"nodeAttrs": [{"target": ["autogroup:member"], "attr": ["funnel"]}]}').status == 200
    changes = [(e["action"], e["old"], e["new"]) for e in log_of(c, login)]
    assert changes == [("USER.UPDATE.ROLE", "auditor", "member"), ("USER.UPDATE.ROLE", "member", "admin")]
    assert act(c.clients["admin"], c, login, "role", {"role": "king"}).status == 400
    assert act(c.clients["admin"], c, login, "role", {}).status == 400


def test_nobody_changes_their_own_role_or_the_owners(c):
    for verb, body in (("role", {"role": "owner"}), ("role", {"role": "member"}), ("suspend", None), ("delete", None)):
        a = act(c.clients["admin"], c, "adam@example.com", verb, body)
        assert a.status == 403 and a.json["code"] in ("user.self", "user.hand_over") and a.json["fix"], (verb, a)
        assert act(c.clients["admin"], c, OWNER, verb, body).status in ((403,) if body != {"role": "owner"} else (200, 403)), verb
        assert act(c.owner(), c, OWNER, verb, body).status == (200 if body == {"role": "owner"} else 403), verb
    assert users(c)[OWNER]["role"] == "owner"
    a = act(c.clients["it-admin"], c, "max@example.com", "role", {"role": "owner"})
    assert a.status == 403 and a.json["code"] == "user.hand_over"


def test_the_owner_hands_over(c):
    login, who = newcomer(c, "olivia", "admin")
    assert act(c.owner(), c, login, "role", {"role": "owner"}).status == 200
    now = {u["loginName"]: u["role"] for u in who("GET", NETWORK + "/users").json["users"]}
    assert now[login] == "owner" and now[OWNER] == "admin" and list(now.values()).count("owner") == 1
    assert act(c.owner(), c, login, "role", {"role": "admin"}).status == 403
    assert act(who, c, OWNER, "role", {"role": "owner"}).status == 200
    assert users(c)[OWNER]["role"] == "owner" and users(c)[login]["role"] == "admin"


def test_suspension_closes_what_was_open(c):
    login, who = newcomer(c, "sue")
    relay = c.relay("relay-sue")
    node = c.register("sues-laptop", login)
    stream = Stream(c, node.token)
    c.want(node, 443)
    relay.until(lambda x: any(r["node"] == node.id for r in [*x.get("routes", []), *x.get("set", [])]))
    start = time.monotonic()
    assert act(c.clients["it-admin"], c, login, "suspend").status == 200
    gone = relay.until(lambda x: any(n.startswith("sues-laptop") for n in x.get("remove", [])))
    assert gone and time.monotonic() - start < 2
    stream.until(lambda x: "caps" in x and "funnel" not in x["caps"])
    assert who("GET", "/api/v2/whoami").status == 401 and users(c)[login]["status"] == "suspended"
    assert act(c.clients["it-admin"], c, login, "restore").status == 200
    relay.until(lambda x: any(r["node"] == node.id for r in x.get("set", [])))
    assert who("GET", "/api/v2/whoami").status == 200
    start = time.monotonic()
    assert act(c.clients["it-admin"], c, login, "delete").status == 200
    relay.until(lambda x: any(n.startswith("sues-laptop") for n in x.get("remove", [])))
    assert time.monotonic() - start < 2
    assert login not in users(c) and who("GET", "/api/v2/whoami").status == 401
    assert "sues-laptop" not in json.dumps(c.owner()("GET", NETWORK + "/devices").json)
    assert [e["action"] for e in log_of(c, login)] == ["USER.SUSPEND", "USER.RESTORE", "USER.DELETE"]
    for s in (relay, stream):
        s.close()


def test_if_match_and_unknown_ids(c):
    login, _ = newcomer(c, "iris")
    path = f"/api/v2/users/{user_id(c, login)}"
    tag = c.owner()("GET", path).headers["ETag"]
    assert c.owner()("POST", path + "/suspend", {}, If_Match='"other"').status == 412
    assert c.owner()("POST", path + "/suspend", {}, If_Match=tag).status == 200
    for verb in ("role", "approve", "suspend", "restore", "delete"):
        assert c.owner()("POST", f"/api/v2/users/x'--/{verb}", {"role": "member"}).status == 404


def test_approval(c):
    login, who = newcomer(c, "amy")
    with c.db() as db:
        db.execute("UPDATE users SET approved = 0 WHERE login = ?", (login,))
    assert who("GET", "/api/v2/whoami").status == 401 and users(c)[login]["status"] == "needs-approval"
    assert act(c.clients["network-admin"], c, login, "approve").status == 403
    assert act(c.clients["it-admin"], c, login, "approve").status == 200
    assert who("GET", "/api/v2/whoami").status == 200 and [e["action"] for e in log_of(c, login)] == ["USER.APPROVE"]


def test_webhooks_hear_of_people(c):
    hook = c.owner()("POST", NETWORK + "/webhooks", {"endpointUrl": "https://hooks.example.org/x", "subscriptions": [
        "userRoleUpdated", "userSuspended", "userRestored", "userDeleted"]}).json
    login, _ = newcomer(c, "wendy")
    for verb, body in (("role", {"role": "auditor"}), ("suspend", None), ("restore", None), ("delete", None)):
        assert act(c.owner(), c, login, verb, body).status == 200
    seen = c.owner()("GET", f"/api/v2/webhooks/{hook['endpointId']}/deliveries").json["deliveries"]
    assert sorted(d["event"] for d in seen) == ["userDeleted", "userRestored", "userRoleUpdated", "userSuspended"]
    assert c.owner()("DELETE", f"/api/v2/webhooks/{hook['endpointId']}").status == 200


def test_a_key_that_ends_soon_is_announced_once(c):
    hook = c.owner()("POST", NETWORK + "/webhooks", {"endpointUrl": "https://hooks.example.org/y", "subscriptions": ["keyExpiring"]}).json
    made = [c.owner()("POST", NETWORK + "/keys", {"keyType": "api", "expirySeconds": d * 86400, "description": f"{d} d"}).json
            for d in (1, 8, 30)]
    with c.db() as db:  # two days have gone by for all of them
        for k in made:
            db.execute("UPDATE keys SET expires = expires - 172800, created = created - 172800 WHERE stable_id = ?", (k["id"],))

    for _ in range(2):
        c.stop()
        c.start()
        for who in c.clients.values():
            who.c = None  # its connection went with the server
        with c.db() as db:
            told = [json.loads(b)[0]["data"]["keyId"]
                    for (b,) in db.execute("SELECT body FROM webhook_deliveries WHERE event = 'keyExpiring'")]
        assert told == [made[1]["id"]]
    assert c.owner()("DELETE", f"/api/v2/webhooks/{hook['endpointId']}").status == 200


# ---- invitations ----

def invite(c, login, role="member", who=None):
    a = (who or c.owner())("POST", NETWORK + "/user-invites", [{"email": login, "role": role}])
    assert a.status == 200, a
    return a.json[0]


def accept(c, code, password="a long enough phrase"):
    out = subprocess.run(["curl", "-s", "--cacert", c.ca.cert, "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Origin: {c.origin}",
                          "--data-urlencode", f"code={code}", "--data-urlencode", f"password={password}", f"{c.origin}/setup"],
                         capture_output=True, text=True, timeout=60)
    return int(out.stdout)


def test_an_invitation_is_good_once(c):
    made = invite(c, "eve@example.com", "auditor")
    origin, code = made["inviteUrl"].split("/setup#")
    assert origin == c.origin and len(code) == 26 and made["role"] == "auditor" and "eve@example.com" not in users(c)
    stored = b"".join(p.read_bytes() for p in (c.folder / "state").iterdir() if p.name.startswith("control.db"))
    assert code.encode() not in stored and code not in c.log.read_text()
    again = c.owner()("POST", NETWORK + "/user-invites", {"email": "Eve@example.com"})
    assert again.status == 409 and again.json["code"] == "user.exists"
    path = f"/api/v2/user-invites/{made['id']}"
    got = c.owner()("GET", path)
    assert got.status == 200 and "inviteUrl" not in got.json and got.headers["ETag"]
    assert [i["id"] for i in c.owner()("GET", NETWORK + "/user-invites").json] == [made["id"]]
    new = c.owner()("POST", path + "/resend", {}).json["inviteUrl"].split("#")[1]
    assert accept(c, code) == 403  # the link before it
    assert [accept(c, new, p) for p in ("short", "openfunnel123", "eve@example.com")] == [400] * 3
    assert accept(c, new) == 200
    assert users(c)["eve@example.com"]["role"] == "auditor" and users(c)["eve@example.com"]["status"] == "active"
    assert accept(c, new, "another long phrase") == 403
    assert c.owner()("POST", path + "/resend", {}).status == 409 and c.owner()("DELETE", path).status == 409
    assert c.owner()("GET", NETWORK + "/user-invites").json == []
    assert [e["action"] for e in log_of(c, "eve@example.com")] == ["USER.INVITE", "USER.INVITE.RESEND", "USER.CREATE", "USER.SETUP"]


def test_an_invitation_taken_back_or_over(c):
    for login, end in (("fay@example.com", "deleted"), ("gil@example.com", "over")):
        made = invite(c, login, who=c.clients["it-admin"])
        if end == "deleted":
            assert c.owner()("DELETE", f"/api/v2/user-invites/{made['id']}").status == 200
            assert c.owner()("GET", f"/api/v2/user-invites/{made['id']}").status == 404
        else:
            with c.db() as db:
                db.execute("UPDATE user_invites SET expires = 1 WHERE stable_id = ?", (made["id"],))
        assert accept(c, made["inviteUrl"].split("#")[1]) == 403 and login not in users(c)


@pytest.mark.parametrize("body", [[], {}, [{"email": "no-at"}], [{"email": "a b@example.com"}], [{"email": "a@b", "role": "owner"}],
                                  [{"email": "a@b", "role": "king"}], [{"email": "*@b"}], ["a@b"], [{"email": "a@b"}] * 51])
def test_what_invites_nobody(c, body):
    a = c.owner()("POST", NETWORK + "/user-invites", body)
    assert a.status == 400 and a.json["code"] == "invite.invalid"


def test_roles_of_invitations(c):
    for role, who in c.clients.items():
        if role not in MANAGERS:
            assert who("POST", NETWORK + "/user-invites", [{"email": "x@example.com"}]).status == 403
    invite(c, "boss@example.com", "admin", c.clients["it-admin"])


def test_reset_login_is_audited(c):
    login, _ = newcomer(c, "lost")
    out = json.loads(subprocess.run([BIN / "funnel-control", "setup-link", login, "--config", c.conf, "--json"],
                                    capture_output=True, text=True, check=True).stdout)
    assert re.fullmatch(r".*/setup#[0-9a-z]{26}", out["setup-link"])
    assert accept(c, out["setup-code"]) == 200 and accept(c, out["setup-code"]) == 403
    assert [(e["action"], e["origin"]) for e in log_of(c, login)][0] == ("USER.RESET_LOGIN", "CLI")
    nobody = subprocess.run([BIN / "funnel-control", "setup-link", "nobody@example.com", "--config", c.conf], capture_output=True, text=True)
    assert nobody.returncode == 1 and "no such user" in nobody.stderr


# ---- contacts, DNS, settings ----

def test_contacts(c):
    path = NETWORK + "/contacts"
    assert {k: v["email"] for k, v in c.owner()("GET", path).json.items()} == dict.fromkeys(("account", "support", "security"), OWNER)
    assert c.owner()("PATCH", path + "/security", {"email": "cert@example.com"}).status == 200
    now = c.owner()("GET", path).json
    assert now["security"]["email"] == "cert@example.com" and now["account"]["email"] == OWNER
    assert c.owner()("PATCH", path + "/security", {"email": "nobody"}).status == 400
    assert c.owner()("PATCH", path + "/other", {"email": "a@b"}).status == 404
    assert c.clients["auditor"]("PATCH", path + "/security", {"email": "a@b"}).status == 403


def test_dns(c):
    who, dns = c.clients["network-admin"], NETWORK + "/dns"
    assert who("GET", dns + "/configuration").json == {"nameservers": [], "splitDNS": {}, "searchPaths": [],
                                                       "preferences": {"overrideLocalDNS": False, "magicDNS": False}}
    assert who("POST", dns + "/nameservers", {"dns": ["9.9.9.9", "2620:fe::fe"]}).json == {"dns": ["9.9.9.9", "2620:fe::fe"], "magicDNS": False}
    assert who("POST", dns + "/preferences", {"magicDNS": True}).json == {"magicDNS": True}
    assert who("POST", dns + "/searchpaths", {"searchPaths": ["Corp.Example.com"]}).json == {"searchPaths": ["corp.example.com"]}
    assert who("PUT", dns + "/split-dns", {"a.example": ["10.0.0.1"], "b.example": ["10.0.0.2"]}).json["b.example"] == ["10.0.0.2"]
    assert who("PATCH", dns + "/split-dns", {"a.example": None, "c.example": ["10.0.0.3"]}).json == {"b.example": ["10.0.0.2"], "c.example": ["10.0.0.3"]}
    whole = who("GET", dns + "/configuration")
    assert whole.json["nameservers"][0] == {"address": "9.9.9.9", "useWithExitNode": False} and whole.json["preferences"]["magicDNS"]
    assert who("GET", dns + "/nameservers").json == {"dns": ["9.9.9.9", "2620:fe::fe"], "magicDNS": True}
    assert who("POST", dns + "/configuration", whole.json, If_Match=whole.headers["ETag"]).json == whole.json
    for path, body in (("nameservers", {"dns": ["dns.example"]}), ("nameservers", {}), ("searchpaths", {"searchPaths": ["a b"]}),
                       ("preferences", {"magicDNS": "yes"}), ("configuration", {"nameservers": 3}), ("nameservers", [])):
        a = who("POST", f"{dns}/{path}", json.dumps(body))
        assert a.status == 400 and a.json["code"] == "dns.invalid", (path, a)
    assert c.clients["it-admin"]("POST", dns + "/preferences", {"magicDNS": False}).status == 403
    assert c.clients["member"]("GET", dns + "/preferences").status == 403


def test_settings_nulls_and_rights(c):
    path = NETWORK + "/settings"
    before = c.owner()("GET", path).json
    a = c.owner()("PATCH", path, {"usersApprovalOn": True, "aclsExternallyManagedOn": None, "aclsExternalLink": None, "httpsEnabled": None})
    assert a.status == 200 and a.json == {**before, "usersApprovalOn": True}
    assert c.clients["it-admin"]("PATCH", path, {"usersApprovalOn": False}).status == 200
    assert c.clients["it-admin"]("PATCH", path, {"httpsEnabled": False}).status == 403
    assert c.clients["network-admin"]("PATCH", path, {"usersApprovalOn": True}).status == 403
    for bad in ({"usersApprovalOn": "yes"}, {"devicesKeyDurationDays": 0}, {"devicesKeyDurationDays": 181},
                {"usersRoleAllowedToJoinExternalTailnets": "all"}):
        assert c.owner()("PATCH", path, bad).status == 400
    assert c.owner()("GET", path).json == before
