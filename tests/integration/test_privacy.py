"""What nobody but the node may see: plaintext, the private key, the node's addresses (acceptance 2 and 3)."""
import base64
import pathlib
import re
import secrets
import subprocess
import time

from cryptography.hazmat.primitives import serialization

from cluster import wait_for

MARK = "MARK-" + secrets.token_hex(16)


def capture(c, host, name):
    """tcpdump on all of a host's interfaces; stop() gives the bytes."""
    path = c.folder / f"{name}.pcap"
    p = c.add(host, name, "tcpdump", "-i", "any", "-U", "--immediate-mode", "-w", path, "-Z", "root", "tcp or udp").start()
    wait_for(lambda: path.exists() and path.stat().st_size >= 24)
    time.sleep(0.3)

    def stop():
        time.sleep(0.5)
        p.stop()
        return path.read_bytes()
    return stop


def core_of(c, name):
    out = c.folder / f"core-{name}"
    pid = c.processes[name].pid
    subprocess.run(["gcore", "-o", str(out), str(pid)], capture_output=True, check=True, timeout=120)
    path = pathlib.Path(f"{out}.{pid}")
    data = path.read_bytes()
    path.unlink()
    return data


def scalar(c):
    key = serialization.load_pem_private_key((c.folder / "agent/leaf.key").read_bytes(), None)
    return key.private_numbers().private_value.to_bytes(32, "big"), key


def needles(c):
    raw, key = scalar(c)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    forms = {"raw": raw, "reversed": raw[::-1], "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(), "der": der}
    # base64 of the scalar at each of the three alignments, without the ends that depend on neighbours
    for shift in range(3):
        forms[f"base64-{shift}"] = base64.b64encode(b"\0" * shift + raw)[4:40]
    pem = (c.folder / "agent/leaf.key").read_bytes().splitlines()
    forms["pem"] = pem[2][:27]  # the second half of the scalar, as the file has it
    return forms


def test_plaintext_stays_on_the_node(live):
    relay = capture(live, live.relay_hosts[0], "cap-relay")
    node = capture(live, live.node_host.nat, "cap-nat")
    visitor = capture(live, live.visitor, "cap-visitor")
    answer = live.curl("-H", f"X-Mark: {MARK}", url=f"{live.url}headers?{MARK}")
    assert MARK.encode() in answer  # it really went there and came back
    posted = live.curl("--data", MARK, url=live.url + "post")
    assert posted
    for name, stop in (("relay", relay), ("nat", node), ("visitor", visitor)):
        data = stop()
        assert len(data) > 3000, f"the capture at {name} is empty"
        assert MARK.encode() not in data, name
        assert live.name.encode() in data or name == "nat", f"no ClientHello at {name}: the capture missed the visit"
    for name in ("relay1", "control"):
        assert MARK.encode() not in core_of(live, name), name


def test_the_name_of_the_visit_does_not_show_between_relay_and_node(live):
    node = capture(live, live.node_host.nat, "cap-nat2")
    live.curl()
    assert live.name.encode() not in node()


def test_the_private_key_is_nowhere_else(live):
    forms = needles(live)
    assert any(n in (live.folder / "agent/leaf.key").read_bytes() for n in forms.values())  # the search finds what is there
    for path in live.folder.rglob("*"):
        if path.is_file() and live.folder / "agent" not in path.parents:
            data = path.read_bytes()
            for form, needle in forms.items():
                assert needle not in data, f"{path}: {form}"
    for name in ("relay1", "control"):
        core = core_of(live, name)
        for form, needle in forms.items():
            assert needle not in core, f"core of {name}: {form}"


def test_the_node_stays_hidden(live):
    visitor = capture(live, live.visitor, "cap-visitor2")
    head = live.curl("-D", "-", url=live.url + "chunked")
    names = live.visitor.run("kdig", f"@{live.control_host.address}", live.name, "ANY") + live.visitor.run(
        "kdig", f"@{live.control_host.address}", "+tcp", live.name, "A")
    data = visitor()
    secret = [live.node_host.address, live.node_host.nat.address, live.status()["self"]["ipv4"], live.status()["self"]["ipv6"]]
    for address in secret:
        assert address.encode() not in head and address not in names, address
        assert address.encode() not in data, address
    for address in secret[:3]:
        raw = bytes(int(x) for x in address.split("."))
        assert raw not in data, f"{address} as bytes in the visitor's capture"


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
