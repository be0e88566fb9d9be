"""A certificate from a real Pebble through funnel-acme, uacme, our hook, control's issuer and the embedded DNS server.

Pebble keeps its 5 % refused nonces. acme_issue_tool is control's half without control. No network is needed but
loopback, and no namespace but the mount namespace in which funnel-acme lays the private CA over the system's bundle.
"""
import datetime
import ipaddress
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time
import urllib.request
import ssl

import dns.message
import dns.query
import dns.rcode
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster import BIN, acme_program
from net import die_with_parent

ZONE = "ts.example.net"
NOBODY = 65534
# In a user namespace of one user there is nobody else to become.
MANY_USERS = os.getuid() == 0 and int(pathlib.Path("/proc/self/uid_map").read_text().split()[2]) > NOBODY


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, seconds=15, step=0.05):
    """The first true answer of what(), or a failed test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(step)
    raise AssertionError(f"not within {seconds} s")


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def make_server_ca(folder):
    """A root and a certificate for 127.0.0.1: Pebble's own HTTPS."""
    now = datetime.datetime.utcnow()
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])

    def build(name, issuer, public, signer, ca):
        b = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
             .not_valid_after(now + datetime.timedelta(days=2))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            b = b.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            b = b.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        return b.sign(signer, hashes.SHA256())

    root = build(root_name, root_name, root_key.public_key(), root_key, True)
    leaf = build(x509.Name([]), root_name, key.public_key(), root_key, False)
    (folder / "ca.pem").write_bytes(pem(root))
    (folder / "server.pem").write_bytes(pem(leaf))
    (folder / "server.key").write_bytes(private_pem(key))


class Running:
    """A program with its log; killed with the test."""

    def __init__(self, log, argv, **kw):
        self.log = log
        with open(log, "ab") as out:
            self.p = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=out, preexec_fn=die_with_parent, **kw)

    def stop(self, how=signal.SIGTERM):
        if self.p.poll() is None:
            self.p.send_signal(how)
        return self.p.wait(15)


class Place:
    """Pebble, funnel-acme and the tool, on ports and sockets of their own."""

    def __init__(self, folder, deadline=60, child_uid=0):
        self.folder, self.deadline, self.child_uid = folder, deadline, child_uid
        folder.mkdir(mode=0o755)
        make_server_ca(folder)
        self.ca_port, self.mgmt_port, self.dns_port = free_port(), free_port(), free_port()
        self.pebble = self.runner = self.tool = None
        self.sock, self.buffer = None, b""
        self.n = 0

    def url(self, path, port=None):
        return f"https://127.0.0.1:{port or self.ca_port}{path}"

    def fetch(self, path, port=None):
        ctx = ssl.create_default_context(cafile=self.folder / "ca.pem")
        return urllib.request.urlopen(self.url(path, port), context=ctx, timeout=5).read()

    def start_pebble(self):
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.ca_port}", "managementListenAddress": f"127.0.0.1:{self.mgmt_port}",
            "certificate": str(self.folder / "server.pem"), "privateKey": str(self.folder / "server.key"),
            "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "", "externalAccountBindingRequired": False}}))
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
        self.pebble = Running(self.folder / "pebble.log",
                              ["/usr/bin/pebble", "-config", self.folder / "pebble.json",
                               "-dnsserver", f"127.0.0.1:{self.dns_port}"], env=env)
        until(lambda: self._up())

    def _up(self):
        try:
            return self.fetch("/dir")
        except OSError:
            return None

    def start_runner(self):
        conf = self.folder / "acme.hujson"
        conf.write_text(f"""{{
            // private CA, high ports
            "url": "{self.url('/dir')}",
            "caFile": "{self.folder}/ca.pem",
            "stateDir": "{self.folder}/state",
            "socket": "{self.folder}/acme.sock",
            "hookSocket": "{self.folder}/hook.sock",
            "childUid": {self.child_uid}, "childGid": {self.child_uid},
            "deadline": {self.deadline},
        }}""")
        self.program = acme_program(self.folder)
        self.runner = Running(self.folder / "runner.log", [self.program, "--config", conf])
        until(lambda: (self.folder / "acme.sock").exists())

    def start_tool(self):
        self.sock, theirs = socket.socketpair()
        self.buffer = b""
        with theirs:
            self.tool = Running(self.folder / "tool.log",
                                [BIN / "acme_issue_tool", self.folder / "acme.sock", self.folder / "hook.sock",
                                 self.child_uid, ZONE, self.dns_port], stdin=theirs)
        self.ask("account")

    def start(self):
        self.start_pebble()
        self.start_runner()
        self.start_tool()
        self.wait_account()
        return self

    def stop(self):
        for p in (self.tool, self.runner, self.pebble):
            if p:
                p.stop(signal.SIGKILL)

    def finish(self):
        """What still runs ends cleanly: under a sanitizer that includes leaks."""
        if self.tool.p.poll() is None:
            self.sock.close()
            assert self.tool.p.wait(15) == 0, self.tool.log.read_text()
        if self.runner.p.poll() is None:
            assert self.runner.stop() == 0, self.runner.log.read_text()

    # ---- the tool ----

    def tell(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def answer(self, seconds=60):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.sock], [], [], left)[0], "the tool says nothing"
            got = self.sock.recv(65536)
            assert got, "the tool is gone"
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, line, seconds=60):
        self.tell(line)
        return self.answer(seconds)

    def wait_account(self):
        return until(lambda: self.ask("account")["account"], 30)

    def csr(self, *names, key=None):
        """A key and the path of its request, in the shape of our agent."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        self.n += 1
        path = self.folder / f"{self.n}.csr"
        san = x509.SubjectAlternativeName([x509.DNSName(n) for n in names])
        req = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(san, False)
        path.write_bytes(pem(req.sign(key, hashes.SHA256())))
        return key, path

    def begin(self, *names):
        key, path = self.csr(*names)
        self.tell(f"issue order{self.n} {','.join(names)} {path}")
        return key, f"order{self.n}"

    def issue(self, *names):
        key, _ = self.begin(*names)
        return key, self.answer()

    # ---- what is left ----

    def validations(self):
        """How often the CA was told to look."""
        return self.pebble.log.read_text().count("Starting 3 validations")

    def children(self):
        """uacme and hooks of this place, by pid."""
        found = {}
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                argv = (p / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if argv[0] != str(self.program).encode() and any(str(self.folder / "state").encode() in a for a in argv):
                found[int(p.name)] = argv
        return found

    def orders(self):
        return list((self.folder / "state/orders").iterdir())

    def assert_clean(self):
        until(lambda: not self.orders() and not self.children(), 5)
        assert self.ask("published")["published"] == 0
        name = f"_acme-challenge.left.p.{ZONE}"
        assert dns.query.udp(dns.message.make_query(name, "TXT"), "127.0.0.1", port=self.dns_port,
                             timeout=3).rcode() == dns.rcode.NXDOMAIN


def check_chain(place, key, chain, names):
    certs = [x509.load_pem_x509_certificate(b"-----BEGIN" + part) for part in chain.encode().split(b"-----BEGIN")[1:]]
    assert len(certs) >= 2
    assert certs[0].public_key().public_numbers() == key.public_key().public_numbers()
    san = certs[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(san.get_values_for_type(x509.DNSName)) == sorted(names)
    # Pebble's own root signs what it gave.
    root = place.folder / "issued-root.pem"
    root.write_bytes(place.fetch("/roots/0", place.mgmt_port))
    leaf, rest = place.folder / "leaf.pem", place.folder / "rest.pem"
    leaf.write_bytes(pem(certs[0]))
    rest.write_bytes(b"".join(pem(c) for c in certs[1:]))
    done = subprocess.run(["openssl", "verify", "-CAfile", root, "-untrusted", rest, leaf], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def new_place(folder, name, **kw):
    place = Place(folder / f"acme-{name}", **kw)
    try:
        return place.start()
    except BaseException:
        show(place)
        place.stop()
        raise


def show(place):
    for log in sorted(place.folder.glob("*.log")):
        print(f"===== {log.name}\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="module")
def place(folder):
    p = new_place(folder, "main")
    try:
        yield p
        p.finish()
    finally:
        show(p)
        p.stop()


@pytest.fixture
def own(folder, request):
    p = new_place(folder, request.node.name.replace("test_", "")[:20], **getattr(request, "param", {}))
    try:
        yield p
        p.finish()
    finally:
        show(p)
        p.stop()


# ---- it works ----

def test_issue(place):
    name = f"laptop.pango-lin.{ZONE}"
    key, got = place.issue(name)
    assert got["class"] == "ok", got
    check_chain(place, key, got["chain"], [name])
    assert place.wait_account().startswith(place.url("/"))
    place.assert_clean()
    # Again for the same name with another key: another certificate (trap T5).
    key, got = place.issue(name)
    assert got["class"] == "ok", got
    check_chain(place, key, got["chain"], [name])
    place.assert_clean()


def test_several_names(place):
    names = [f"a.multi.{ZONE}", f"b.multi.{ZONE}", "n" * 63 + f".multi.{ZONE}"]
    key, got = place.issue(*names)
    assert got["class"] == "ok", got
    check_chain(place, key, got["chain"], names)
    place.assert_clean()


def test_many_at_once_and_bad_nonces(place):
    """Twenty orders, four at a time, the fifth told to wait; one request in twenty has its nonce refused."""
    waiting = [f"n{i}.many.{ZONE}" for i in range(20)]
    running, keys, done, busy = {}, {}, [], 0
    while waiting or running:
        while waiting and len(running) < 4:
            name = waiting.pop()
            keys[name], id = place.begin(name)
            running[id] = name
        if len(running) == 4 and not busy:
            assert place.issue(f"five.many.{ZONE}")[1]["class"] == "busy" or running
            busy = 1
        got = place.answer()
        if got["id"] not in running:
            continue
        name = running.pop(got["id"])
        assert got["class"] == "ok", got
        check_chain(place, keys[name], got["chain"], [name])
        done.append(name)
    assert len(set(done)) == 20
    place.assert_clean()


# ---- what must not be told, or done ----

def test_refused_before_any_child(place):
    _, path = place.csr(f"mine.{ZONE}", f"admin.{ZONE}")
    got = place.ask(f"issue bad mine.{ZONE} {path}")
    assert got["class"] == "refused" and "not those of this node" in got["detail"]
    assert not place.orders() and not place.children()


def test_publishing_fails_no_validation_spent(place):
    spent = place.validations()
    place.tell("mode refuse")
    _, got = place.issue(f"refused.{ZONE}")
    place.tell("mode plain")
    assert got["class"] == "dns", got
    place.assert_clean()
    assert place.validations() == spent


def test_wrong_value(place):
    spent = place.validations()
    place.tell("mode wrong")
    _, got = place.issue(f"wrong.{ZONE}")
    place.tell("mode plain")
    assert got["class"] == "authorization", got
    assert place.validations() == spent + 1
    assert got["detail"]
    place.assert_clean()


def hook_says(place, line, uid=None):
    """What the hook socket answers, from a process of that user."""
    code = ("import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(5);s.connect(sys.argv[1]);"
            "s.sendall(sys.argv[2].encode()+b'\\n');print(s.recv(10).decode().strip() or 'closed')")
    kw = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    done = subprocess.run(["/usr/bin/python3", "-c", code, str(place.folder / "hook.sock"), line],
                          capture_output=True, text=True, timeout=20, **kw)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else ""


def held_order(place, name):
    """An order whose hook waits for its answer; uacme's pid and environment."""
    place.tell("mode hold")
    key, id = place.begin(name)
    until(lambda: place.ask("published")["published"] == 1)
    pid = next(p for p, argv in place.children().items() if argv[0].endswith(b"/uacme"))
    env = dict(e.split(b"=", 1) for e in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if e)
    return key, pid, {k.decode(): v.decode() for k, v in env.items()}


def test_hook_is_bound_to_its_order(place):
    name = f"held.{ZONE}"
    key, _, env = held_order(place, name)
    token, auth = env["ORDER_TOKEN"], "A" * 43
    assert set(env) == {"ORDER_SOCK", "ORDER_TOKEN"} and len(token) >= 26
    for argv in place.children().values():
        assert not any(token.encode() in a for a in argv)
    for line in (f"{'x' * len(token)} begin dns-01 {name} {auth}",
                 f"{token} begin dns-01 admin.{ZONE} {auth}",
                 f"{token} begin http-01 {name} {auth}",
                 f"{token} begin dns-01 {name} {auth}x",
                 f"{token} begin dns-01 {name} {'!' * 43}",
                 f"{token} done dns-01 {name} {auth}",
                 f"{token} failed dns-01 {name} {auth}",
                 f"{token} remove dns-01 {name} {auth}",
                 f"{token} begin dns-01 {name} {auth} more",
                 f"{token} begin dns-01", ""):
        assert hook_says(place, line) == "1", line
    assert place.ask("published")["published"] == 1
    place.tell("mode plain")
    place.tell("reply")
    got = place.answer()
    assert got["class"] == "ok", got
    check_chain(place, key, got["chain"], [name])
    # The token died with the order.
    assert hook_says(place, f"{token} begin dns-01 {name} {auth}") == "1"
    place.assert_clean()


@pytest.mark.skipif(not MANY_USERS, reason="one user only")
def test_hook_and_runner_refuse_other_users(place):
    said = hook_says(place, "x begin dns-01 a.b c", uid=1234)
    assert said == "closed" or "ConnectionReset" in said or "BrokenPipe" in said, said
    code = "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])"
    done = subprocess.run(["/usr/bin/python3", "-c", code, str(place.folder / "acme.sock")], user=1234, group=1234,
                          extra_groups=[], capture_output=True, text=True, timeout=20)
    assert "PermissionError" in done.stderr


@pytest.mark.skipif(not MANY_USERS, reason="one user only")
@pytest.mark.parametrize("own", [{"child_uid": NOBODY}], indirect=True)
def test_child_is_bounded(own):
    name = f"bounded.{ZONE}"
    key, pid, _ = held_order(own, name)
    proc = pathlib.Path(f"/proc/{pid}")
    status = dict(l.split(":\t", 1) for l in (proc / "status").read_text().splitlines() if ":\t" in l)
    assert status["Uid"].split() == [str(NOBODY)] * 4 and status["Gid"].split() == [str(NOBODY)] * 4
    assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0 and status["Groups"].strip() == ""
    assert status["Umask"] == "0077"
    limits = {l[:25].strip(): l[26:].split() for l in (proc / "limits").read_text().splitlines()}
    assert limits["Max cpu time"][:2] == ["20", "20"] and limits["Max core file size"][:2] == ["0", "0"]
    assert limits["Max file size"][0] == str(1 << 20) and limits["Max open files"][0] == "64"
    [order] = own.orders()
    assert os.readlink(proc / "cwd") == str(order) and order.stat().st_mode & 0o777 == 0o700
    assert order.stat().st_uid == NOBODY and [f.name for f in order.iterdir()] == ["req.csr"]
    key_file = own.folder / "state/account/private/key.pem"
    assert key_file.stat().st_mode & 0o077 == 0 and key_file.stat().st_uid == NOBODY
    assert os.getsid(pid) == pid
    own.tell("mode plain")
    own.tell("reply")
    got = own.answer()
    assert got["class"] == "ok", got
    check_chain(own, key, got["chain"], [name])
    own.assert_clean()


# ---- faults ----

@pytest.mark.parametrize("own", [{"deadline": 5}], indirect=True)
def test_deadline(own):
    """A hook that hangs: the whole group ends at the deadline, nothing stays; a reply afterwards harms nobody."""
    start = time.monotonic()
    held_order(own, f"late.{ZONE}")
    got = own.answer(15)
    assert got["class"] == "network" and 4 < time.monotonic() - start < 10, got
    own.assert_clean()
    own.tell("reply")
    own.tell("mode plain")
    assert own.issue(f"late.{ZONE}")[1]["class"] == "ok"


def test_control_killed(own):
    """Nobody waits for the certificate any more: its uacme ends. Started again, control is served."""
    held_order(own, f"orphan.{ZONE}")
    own.tool.stop(signal.SIGKILL)
    until(lambda: not own.children() and not own.orders(), 5)
    own.start_tool()
    own.wait_account()
    assert own.issue(f"orphan.{ZONE}")[1]["class"] == "ok"


def test_control_stops_with_an_order_held(own):
    """A clean stop in the middle: exit 0, also with a reply that comes after the issuer is gone."""
    held_order(own, f"stopped.{ZONE}")
    own.sock.close()
    assert own.tool.p.wait(15) == 0, own.tool.log.read_text()
    until(lambda: not own.children() and not own.orders(), 5)
    assert own.runner.stop() == 0


def test_runner_killed(own):
    _, pid, _ = held_order(own, f"gone.{ZONE}")
    own.runner.stop(signal.SIGKILL)
    got = own.answer(10)
    assert got["class"] == "network" and "funnel-acme" in got["detail"], got
    os.kill(pid, signal.SIGKILL)  # the unit's control group does this
    own.tell("reply")
    own.tell("mode plain")
    got = own.issue(f"gone.{ZONE}")[1]
    assert got["class"] in ("unreachable", "network"), got
    left = own.orders()
    assert left
    own.start_runner()
    until(lambda: own.issue(f"gone.{ZONE}")[1]["class"] == "ok", 30)
    assert not any(d in own.orders() for d in left)
    own.assert_clean()


def test_ca_away_and_back_without_its_memory(own):
    account = own.wait_account()
    own.pebble.stop(signal.SIGKILL)
    got = own.issue(f"away.{ZONE}")[1]
    assert got["class"] == "network", got
    own.start_pebble()
    got = own.issue(f"away.{ZONE}")[1]
    assert got["class"] == "network" and "account" in got["detail"], got
    until(lambda: own.issue(f"away.{ZONE}")[1]["class"] == "ok", 30)
    assert own.wait_account() != account
    own.assert_clean()


def test_ca_comes_later_than_we(folder):
    """The account is made as soon as an order asks for it, whatever its own back-off has come to."""
    own = Place(folder / "acme-later")
    try:
        own.start_runner()
        own.start_tool()
        got = own.issue(f"early.{ZONE}")[1]
        assert got["class"] == "network" and "account" in got["detail"], got
        time.sleep(12)  # the first attempt has given up: uacme tries three times, five seconds apart
        own.start_pebble()
        start = time.monotonic()
        until(lambda: own.issue(f"early.{ZONE}")[1]["class"] == "ok", 20, step=0.5)
        assert time.monotonic() - start < 10
        own.assert_clean()
        own.finish()
    finally:
        show(own)
        own.stop()


def test_check_of_the_configuration(folder):
    conf = folder / "check.hujson"
    conf.write_text('{"url": "https://ca.test/dir", "deadline": 30}')
    done = subprocess.run([BIN / "funnel-acme", "--config", conf, "-n"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "https://ca.test/dir" in done.stdout
    conf.write_text(done.stdout)
    again = subprocess.run([BIN / "funnel-acme", "--config", conf, "-n"], capture_output=True, text=True, timeout=20)
    assert again.stdout == done.stdout
    for text, word in (('{"url": "x", "dedline": 5}', "deadline"), ('{"url": "x", "deadline": 1}', "deadline"), ("{}", "url")):
        conf.write_text(text)
        bad = subprocess.run([BIN / "funnel-acme", "--config", conf, "-n"], capture_output=True, text=True, timeout=20)
        assert bad.returncode == 78 and word in bad.stderr, bad.stderr


@pytest.mark.skipif(not MANY_USERS, reason="a user namespace of one user: there is nobody else to close a folder to")
@pytest.mark.parametrize("closed", ["program", "state"])
def test_what_the_child_cannot_reach_is_said_at_the_start(folder, closed):
    """A checkout in somebody's closed home: every order would fail, long after the start."""
    own = folder / f"closed-{closed}"
    own.mkdir(mode=0o700)
    program = acme_program(own if closed == "program" else folder)
    state = own / "state" if closed == "state" else folder / "closed-open-state"
    conf = folder / "closed.hujson"
    conf.write_text(f"""{{"url": "https://127.0.0.1:9/dir", "stateDir": "{state}", "socket": "{folder}/closed.sock",
                         "hookSocket": "{folder}/closed-hook.sock", "childUid": {NOBODY}, "childGid": {NOBODY}}}""")
    done = subprocess.run([program, "--config", conf], capture_output=True, text=True, timeout=10)
    assert done.returncode == 69, done.stderr
    assert f"user {NOBODY}" in done.stderr and f"{own}/ is closed to it" in done.stderr and "fix:" in done.stderr
