"""Control alone, on loopback high ports: for tests that talk to its API and play the nodes and relays themselves."""
import base64
import http.client
import json
import os
import pathlib
import queue
import secrets
import select
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import urllib.parse

import cluster as clusterlib
import net as netlib
from cluster import BIN, ZONE, wait_for

OWNER = "ann@example.com"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.raw = response.read()

    @property
    def text(self):
        return self.raw.decode()

    @property
    def json(self):
        return json.loads(self.raw)

    @property
    def etag(self):
        return (self.headers["ETag"] or "")[1:-1]

    def __repr__(self):
        return f"{self.status} {self.raw[:2000]!r}"


class Client:
    """One keep-alive connection with a key; not for two threads at once."""

    def __init__(self, control, key):
        self.control, self.key, self.c = control, key, None

    def __call__(self, method, path, body=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers.setdefault("Authorization", f"Bearer {self.key}")
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/hujson")
        headers = {k: v for k, v in headers.items() if v is not None}
        for again in (True, False):
            if self.c is None:
                self.c = self.control.connect()
            try:
                self.c.request(method, path, body.encode() if isinstance(body, str) else body, headers)
                return Answer(self.c.getresponse())
            except (http.client.RemoteDisconnected, ConnectionError):
                self.c = None
                if not again:
                    raise
        raise AssertionError("not reached")

    def acl(self, body, **headers):
        return self("POST", "/api/v2/tailnet/-/acl", body, **headers)


class Browser(Client):
    """The console's script: the owner's session cookie instead of a key."""

    def __init__(self, control, password="correct horse battery"):
        super().__init__(control, None)
        form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": control.origin, "Authorization": None}
        a = Client.__call__(self, "POST", "/setup", urllib.parse.urlencode(
            {"code": control.secret("setup-code"), "password": password}), **form)
        assert a.status == 200, a
        self.cookie = a.headers["Set-Cookie"].split(";")[0]
        self.csrf = self("GET", "/api/v2/whoami").json["csrfToken"]

    def __call__(self, method, path, body=None, **headers):
        given = {"Authorization": None, "Cookie": self.cookie, "X_Requested_With": "console", "Sec_Fetch_Site": "same-origin"}
        if method != "GET":
            given |= {"Origin": self.control.origin, "X_Csrf_Token": self.csrf}
        return super().__call__(method, path, body, **{**given, **headers})


class RawStream:
    """A node's or relay's stream of lines, read by whoever calls."""

    def __init__(self, control, token, path="/node/v1/stream"):
        self.c = control.connect(timeout=300)
        self.c.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        self.response = self.c.getresponse()
        assert self.response.status == 200, self.response.read()

    def line(self, good=lambda x: True):
        """The next line for which `good` holds."""
        while True:
            text = self.response.readline()
            assert text, "the stream has ended"
            if text.strip() and good(json.loads(text)):
                return json.loads(text)

    def readable(self, timeout=0):
        """Has anything come to this socket?"""
        return bool(select.select([self.c.sock], [], [], timeout)[0])

    def close(self):
        self.c.close()


class Stream(RawStream):
    """The same, read by a thread."""

    def __init__(self, control, token, path="/node/v1/stream"):
        super().__init__(control, token, path)
        self.lines, self.seen = queue.Queue(), []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for line in self.response:
                if line.strip():
                    self.lines.put(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def next(self, timeout=10):
        line = self.lines.get(timeout=timeout)
        self.seen.append(line)
        return line

    def until(self, good, timeout=10):
        """The first line for which `good` holds; those before it are in `seen`."""
        while True:
            line = self.next(timeout)
            if good(line):
                return line

    def rest(self):
        out = []
        while not self.lines.empty():
            out.append(self.lines.get())
        return out

    def close(self):
        if self.c.sock:
            self.c.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.c.close()


class Node:
    def __init__(self, answer, transport):
        self.__dict__.update(id=answer["nodeId"], token=answer["nodeToken"], name=answer["name"].split(".")[0],
                             ipv4=answer["ipv4"], ipv6=answer["ipv6"], transport=transport)


class Control:
    api = {"rate": 0}  # tests call faster than people; one that is about the limit sets its own

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = clusterlib.CA(self.folder)
        self.port, self.dns = free_port(), free_port()
        self.origin = f"https://127.0.0.1:{self.port}"
        self.tls = ssl.create_default_context(cafile=self.ca.cert)
        self.p = None
        self.log = self.folder / "control.log"

    def configure(self):
        crt, key = self.ca.issue("control", "127.0.0.1")
        self.conf = self.folder / "control.hujson"
        self.conf.write_text(json.dumps({
            "origin": self.origin, "zone": ZONE, "nameServers": ["ns1.example.net"], "stateDir": str(self.folder / "state"),
            "listen": [f"127.0.0.1:{self.port}"], "tls": {"cert": str(crt), "key": str(key)},
            "dns": {"listen": [f"127.0.0.1:{self.dns}"]}, "api": self.api,
            "log": {"level": "debug"}, "acme": {"runner": str(self.folder / "acme.sock"), "hook": str(self.folder / "hook.sock"), "caa": ""}}))
        netlib.run(BIN / "funnel-control", "init", "--config", self.conf, "--owner", OWNER, "--out-dir",
                   self.folder / "secrets")
        return self

    def start(self):
        with self.log.open("ab") as out:
            self.p = subprocess.Popen([BIN / "funnel-control", "run", "--config", self.conf], stdin=subprocess.DEVNULL,
                                      stdout=out, stderr=out, preexec_fn=netlib.die_with_parent,
                                      env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"})
        wait_for(lambda: self.p.poll() is not None or self.healthy(), 60)
        assert self.p.poll() is None, self.log.read_text()
        return self

    def healthy(self):
        return Client(self, "")("GET", "/healthz").status == 200

    def stop(self):
        """Ends it; what it said about leaks, crashes and broken requests fails the test."""
        if self.p:
            self.p.send_signal(signal.SIGTERM)
            code = self.p.wait(30)
            self.p = None
            text = self.log.read_text()
            assert code == 0 and "Sanitizer" not in text and "request.broken" not in text, text[-4000:]

    def connect(self, timeout=60):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=timeout)

    def secret(self, name):
        return (self.folder / "secrets" / name).read_text().strip()

    def owner(self):
        return Client(self, self.secret("api-key"))

    def new_key(self, kind, owner=OWNER, *more):
        out = netlib.run(BIN / "funnel-control", "key", "create", kind, "--config", self.conf, "--json", "--owner", owner, *more)
        return json.loads(out)[f"{kind}-key"]

    def db(self):
        """The store as another program sees it; control arbitrates with it through SQLite."""
        db = sqlite3.connect(self.folder / "state" / "control.db", timeout=10)
        db.execute("PRAGMA foreign_keys=ON")
        return db

    def add_user(self, login, role="member"):
        with self.db() as db:
            db.execute("INSERT INTO users(tailnet_id, stable_id, login, role, created) VALUES(1, ?, ?, ?, 1)",
                       (secrets.token_hex(8), login, role))

    def client_of(self, login, role):
        self.add_user(login, role)
        return Client(self, self.new_key("api", login))

    def register(self, hostname, owner=OWNER):
        transport = secrets.token_hex(32)
        a = Client(self, "")("POST", "/node/v1/register", {
            "authKey": self.new_key("auth", owner), "hostname": hostname, "os": "linux", "version": "1",
            "transportKey": transport}, Content_Type="application/json")
        assert a.status == 200, a
        return Node(a.json, transport)

    def stream(self, node):
        return Stream(self, node.token)

    def relay(self, name="relay1", kind=Stream):
        """Enrols a relay and reads its stream."""
        a = Client(self, "")("POST", "/relay/v1/enroll", {
            "relayKey": self.new_key("relay"), "name": name, "host": f"{name}.example.org", "addresses": ["198.51.100.7"],
            "port": 443, "ports": {"443": 443, "8443": 8443, "10000": 10000}, "pins": [secrets.token_hex(32)],
            "version": "1"}, Content_Type="application/json")
        assert a.status == 200, a
        return kind(self, a.json["relayToken"], "/relay/v1/stream")

    def want(self, node, *ports):
        a = Client(self, node.token)("PUT", "/node/v1/funnels", {"funnels": [
            {"port": p, "kind": "http", "target": "http://127.0.0.1:3000", "source": "background"} for p in ports]})
        assert a.status == 200, a
        return a.json["funnels"]


def acl_of(details):
    return base64.b64decode(details["acl"]).decode()
