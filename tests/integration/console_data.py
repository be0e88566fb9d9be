"""A control server with something to show: machines, public URLs, a request, users, keys."""
import secrets
import urllib.parse

from control import OWNER, Client, Control

PASSWORD = "correct horse battery"

POLICY = """// Who may make what public. Edited by hand.
{
	"groups": {"group:web": ["ann@example.com"]},
	"tagOwners": {"tag:web": ["group:web"]}, // the shop and its staging copy
	"nodeAttrs": [
		/* only the shop, for now */
		{"target": ["tag:web", "ann@example.com"], "attr": ["funnel"]},
	],
	"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
	"tests": [{"src": "ann@example.com", "accept": ["tag:web:443"]}],
}
"""


def set_password(c):
    """The owner's password, by the setup page's form."""
    body = urllib.parse.urlencode({"code": c.secret("setup-code"), "password": PASSWORD})
    h = c.connect()
    h.request("POST", "/setup", body, {"Content-Type": "application/x-www-form-urlencoded", "Origin": c.origin})
    answer = h.getresponse()
    text = answer.read().decode()
    assert answer.status == 200 and "<code>" in text, text
    h.close()


def ask(c, node, port=443, reason="Demo for the customer on Friday"):
    """What `funnel 3000` sends on a machine that may not be public."""
    a = Client(c, node.token)("POST", "/node/v1/feature/query", {"feature": "funnel", "port": port, "target": "http://127.0.0.1:3000",
                                                                 "reason": reason}, Content_Type="application/json")
    if a.status == 400:  # a server that takes no reason yet
        a = Client(c, node.token)("POST", "/node/v1/feature/query", {"feature": "funnel", "port": port}, Content_Type="application/json")
    assert a.status == 200, a
    return a.json


def many_machines(c, count):
    """Straight into the store: registering ten thousand is another test's matter."""
    systems = ["linux", "macos", "windows", "freebsd"]
    with c.db() as db:
        row = dict(zip([x[0] for x in db.execute("SELECT * FROM nodes LIMIT 1").description], db.execute("SELECT * FROM nodes LIMIT 1").fetchone()))
        first = db.execute("SELECT max(id) FROM nodes").fetchone()[0] + 1
        names = [k for k in row if k != "id"]
        sql = f"INSERT INTO nodes(id, {', '.join(names)}) VALUES({', '.join('?' * (len(names) + 1))})"
        for i in range(count):
            new = {**row, "stable_id": secrets.token_hex(8), "label": f"machine-{i:05d}", "hostname": f"machine-{i:05d}",
                   "os": systems[i % 4]}
            for k in row:
                if k in ("token_hash", "transport_key", "token"):
                    new[k] = secrets.token_bytes(32) if isinstance(row[k], bytes) else secrets.token_hex(32)
                if k == "ipv4":
                    new[k] = f"100.{70 + i // 65536}.{i // 256 % 256}.{i % 256}"
                if k == "ipv6":
                    new[k] = f"fd7a:115c:a1e0:f::{i:x}"
            db.execute(sql, [first + i, *[new[k] for k in names]])


def populated(folder):
    c = Control(folder).configure().start()
    set_password(c)
    owner = c.owner()
    a = owner("PATCH", "/api/v2/tailnet/-/settings", {"httpsEnabled": True}, Content_Type="application/json")
    assert a.status == 200, a
    assert owner.acl(POLICY).status == 200
    for login, role in (("bob@example.com", "member"), ("carol@example.com", "auditor"), ("dave@example.com", "network-admin")):
        c.add_user(login, role)
    c.nodes = [c.register("laptop"), c.register("shop"), c.register("nas", "bob@example.com"), c.register("printer", "carol@example.com")]
    c.streams = [c.stream(n) for n in c.nodes[:3]]
    c.relays = [c.relay()]
    c.want(c.nodes[0], 443, 8443)
    c.want(c.nodes[1], 10000)
    c.request = ask(c, c.nodes[2])
    return c


def close(c):
    for s in [*c.streams, *c.relays]:
        s.close()
    c.stop()


