"""What nobody but the node may see: plaintext, the private key, the node's addresses (acceptance 2 and 3)."""
import base64
import ipaddress
import os
import pathlib
import re
import secrets
import stat
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

from cluster import wait_for

MARK = "MARK-" + secrets.token_hex(16)


def capture(c, host, name):
    """All of a host's packets; stop() gives the bytes. A capture that lost a packet proves nothing."""
    path = c.folder / f"{name}.pcap"
    p = c.add(host, name, "/usr/bin/python3", pathlib.Path(__file__).parent / "capture.py", path).start()
    wait_for(lambda: path.exists() and path.stat().st_size >= 24)

    def stop():
        time.sleep(0.5)
        p.stop()
        assert re.search(r"^[1-9]\d* packets, 0 lost$", p.log.read_text(), re.M), p.log.read_text()
        return path.read_bytes()
    return stop


def core_of(c, name):
    """All of its memory: -a takes in what a process keeps out of its own cores."""
    out = c.folder / f"core-{name}"
    pid = c.processes[name].pid
    size = int(re.search(r"VmSize:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
    if size > 1 << 30:  # KiB: a sanitizer's shadow memory would fill the disk
        pytest.skip("built with a sanitizer: its memory cannot be written down")
    subprocess.run(["gcore", "-a", "-o", str(out), str(pid)], capture_output=True, check=True, timeout=120)
    path = pathlib.Path(f"{out}.{pid}")
    data = path.read_bytes()
    path.unlink()
    return data


# ---- the private scalar, in the forms in which software keeps one ----

def scalar(c):
    key = serialization.load_pem_private_key((c.folder / "agent/leaf.key").read_bytes(), None)
    return key.private_numbers().private_value.to_bytes(32, "big"), key


def needles(c):
    """Bytes as they are (raw is in every DER), and text that is looked for without line breaks and colons."""
    raw, key = scalar(c)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    sec1 = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption())
    assert raw in der and raw in sec1
    binary = {"raw": raw, "words from the low end": raw[::-1]}
    text = {"hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    for shift in range(3):  # at each alignment, without the ends that depend on neighbours
        whole = base64.b64encode(b"\0" * shift + raw)[4:40]
        text[f"base64-{shift}"] = whole
        text[f"base64url-{shift}"] = whole.translate(bytes.maketrans(b"+/", b"-_"))
    return binary, text


def holds(data, forms):
    """Which forms of the scalar stand in data."""
    binary, text = forms
    found = [form for form, needle in binary.items() if needle in data]
    flat = data.translate(None, b"\r\n\t :")
    return found + [form for form, needle in text.items() if needle in flat]


def written_since(moment, *roots):
    """Files that anybody has written since then, with what they hold; what has gone meanwhile is gone."""
    for root in roots:
        for folder, dirs, files in os.walk(root):
            for name in files:
                path = pathlib.Path(folder, name)
                try:
                    st = path.lstat()
                    if stat.S_ISREG(st.st_mode) and st.st_mtime >= moment and st.st_size < 256 << 20:
                        yield path, path.read_bytes()
                except OSError:
                    continue


def test_the_search_finds_what_is_there(live):
    """The needles, the cores and the search are good for something: the agent has the key, and its file too."""
    forms = needles(live)
    assert any(f.startswith("base64") for f in holds((live.folder / "agent/leaf.key").read_bytes(), forms))
    core = core_of(live, "agent")
    assert {"raw", "words from the low end"} & set(holds(core, forms))
    raw, key = scalar(live)
    assert holds(raw.hex(":").upper().encode(), forms) == ["HEX"]
    sec1 = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption())
    assert any(f.startswith("base64") for f in holds(sec1, forms))


def test_plaintext_stays_on_the_node(live):
    """A marker in both directions, on the wire of both legs and in memory while it is on its way."""
    relay = capture(live, live.relay_hosts[0], "cap-relay")
    node = capture(live, live.node_host.nat, "cap-nat")
    visitor = capture(live, live.visitor, "cap-visitor")
    answer = live.curl("-H", f"X-Mark: {MARK}", url=f"{live.url}headers?{MARK}")
    assert MARK.encode() in answer  # it really went there and came back
    posted = live.curl("--data", MARK, url=live.url + "post")
    assert posted
    got = live.folder / "repeated"
    running = subprocess.Popen(live.visitor.argv("curl", "-sSN", "--cacert", live.pebble_root, "-o", got, "-H", f"X-Mark: {MARK}",
                                                 f"{live.url}repeat/{MARK}"))
    try:
        wait_for(lambda: got.exists() and got.stat().st_size > 1000)
        assert MARK.encode() in core_of(live, "agent"), "the agent has it in memory: the search would find it elsewhere"
        for name in ("relay1", "control"):
            core = core_of(live, name)
            assert live.name.encode() in core, f"the core of {name} is not whole"
            assert MARK.encode() not in core, name
        assert running.poll() is None, "the cores are of the time when the marker was on its way"
    finally:
        running.kill()
        running.wait()
    for name, stop in (("relay", relay), ("nat", node), ("visitor", visitor)):
        data = stop()
        assert len(data) > 3000, f"the capture at {name} is empty"
        assert MARK.encode() not in data, name
        assert live.name.encode() in data or name == "nat", f"no ClientHello at {name}: the capture missed the visit"


def test_the_name_of_the_visit_does_not_show_between_relay_and_node(live):
    node = capture(live, live.node_host.nat, "cap-nat2")
    live.curl()
    assert live.name.encode() not in node()


def test_the_private_key_is_nowhere_else(live):
    forms = needles(live)
    mine = live.folder / "agent"
    born = (mine / "leaf.key").stat().st_mtime
    count = 0
    for path, data in written_since(born - 1, live.folder, "/tmp", "/var", "/run", "/dev/shm", "/root", "/home", "/etc"):
        if mine not in path.parents:
            count += 1
            assert not holds(data, forms), path
    assert count > 20
    for name in ("relay1", "control", "acme"):
        assert not holds(core_of(live, name), forms), name


def test_the_node_stays_hidden(live):
    visitor = capture(live, live.visitor, "cap-visitor2")
    head = live.curl("-D", "-", url=live.url + "chunked")
    names = ""
    for kind in ("ANY", "A", "AAAA", "TXT", "MX", "CAA", "SOA", "NS", "PTR", "HTTPS", "SRV"):
        for zone in (live.name, live.name.split(".", 1)[1], f"_acme-challenge.{live.name}"):
            names += live.visitor.run("kdig", f"@{live.control_host.address}", "+tcp", zone, kind)
    data = visitor()
    self = live.status()["self"]
    secret = [live.node_host.address, live.node_host.nat.address, self["ipv4"], self["ipv6"]]
    for address in secret:
        assert address.encode() not in head and address not in names, address
        assert address.encode() not in data, address
        assert ipaddress.ip_address(address).packed not in data, f"{address} as bytes in the visitor's capture"


def test_secrets_are_not_in_argv_or_logs(live):
    wanted = [live.secret(n) for n in ("api-key", "auth-key", "relay-key", "setup-code")]
    token = re.search(r'"nodeToken": "([^"]*)"', (live.folder / "agent/node.json").read_text()).group(1)
    wanted += [token, (live.folder / "relay1/token").read_text(), live.password]
    for name, p in live.processes.items():
        log = p.log.read_text(errors="replace")
        cmdline = pathlib.Path(f"/proc/{p.pid}/cmdline").read_bytes().decode(errors="replace") if p.alive() else ""
        for w in wanted:
            assert w not in log and w not in cmdline, name
    store = (live.folder / "control/control.db").read_bytes() + (live.folder / "control/control.db-wal").read_bytes()
    for w in wanted:
        assert w.encode() not in store
    for path in [*(live.folder / "agent").iterdir(), *(live.folder / "relay1").iterdir(), *(live.folder / "secrets").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path
