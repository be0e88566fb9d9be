"""Control as an operator meets it: certificate swap, configuration errors, two relays, one shared address."""
import re
import signal
import subprocess
import time

import pytest

import cluster as clusterlib
from cluster import BIN, CONTROL, ZONE, wait_for


def serial(c):
    out = subprocess.run(c.visitor.argv("sh", "-c", f"openssl s_client -connect {CONTROL}:443 -servername {CONTROL} </dev/null "
                                        "| openssl x509 -noout -serial"), capture_output=True, text=True, timeout=20)
    return out.stdout.strip()


def test_sighup_swaps_the_certificate_and_a_bad_pair_changes_nothing(fresh):
    before = serial(fresh)
    assert before.startswith("serial=")
    crt, key = fresh.ca.issue(CONTROL, fresh.control_host.address)
    fresh.processes["control"].p.send_signal(signal.SIGHUP)
    wait_for(lambda: serial(fresh) not in ("", before), 5)
    swapped = serial(fresh)
    assert fresh.status()["control"]["connected"]  # running connections went on
    good = crt.read_bytes()
    crt.write_text("rubbish")
    fresh.processes["control"].p.send_signal(signal.SIGHUP)
    wait_for(lambda: "tls.not_reloaded" in fresh.processes["control"].log.read_text(), 5)
    assert serial(fresh) == swapped
    crt.write_bytes(good)


@pytest.mark.parametrize("program", ["funnel-control", "funnel-relay", "funneld", "funnel-acme"])
def test_unknown_keys_are_refused_with_the_nearest_name(fresh, tmp_path, program):
    conf = tmp_path / "bad.hujson"
    conf.write_text('{\n  // a typo\n  "stateDri": "/x",\n}\n')
    args = {"funnel-control": ["run"], "funnel-relay": ["run"]}.get(program, [])
    done = subprocess.run([BIN / program, *args, "--config", conf], capture_output=True, text=True, timeout=10)
    assert done.returncode == 78
    assert "bad.hujson:3:3: unknown key" in done.stderr and 'did you mean "stateDir"' in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_printed_configuration_loads_again(fresh, tmp_path):
    out = subprocess.run([BIN / "funnel-control", "check", "--config", fresh.control_conf], capture_output=True, text=True, check=True)
    again = tmp_path / "again.hujson"
    again.write_text(out.stdout)
    twice = subprocess.run([BIN / "funnel-control", "check", "--config", again], capture_output=True, text=True, check=True)
    assert out.stdout == twice.stdout and "//" in out.stdout


def test_init_twice_changes_nothing(fresh):
    done = subprocess.run(fresh.control_host.argv(BIN / "funnel-control", "init", "--config", fresh.control_conf),
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "initialised already" in done.stderr


def test_caa_names_the_account(fresh):
    wait_for(lambda: re.search(r'0 issue "ca\.example\.net; accounturi=https://ca\.example\.net:14000/my-account/\w+; '
                               r'validationmethods=dns-01"',
                               fresh.visitor.run("kdig", f"@{fresh.control_host.address}", "+short", ZONE, "CAA")), 15)


@pytest.fixture(scope="module")
def two(folder):
    c = clusterlib.Cluster(folder / "two", relays=2)
    try:
        c.build()
        c.start_pebble()
        c.write_configs()
        # A relay on control's behalf: its name comes in through relay1, with PROXY v2.
        text = c.control_conf.read_text().rstrip().rstrip("}")
        c.control_conf.write_text(text + f"""    "passthrough": "{c.control_host.address}:443",
    "proxyFrom": ["{c.relay_hosts[0].address}"],
}}
""")
        c.build = c.start_pebble = c.write_configs = lambda: None
        c.start()
        c.first_approval()
        c.backend()
        c.funnel("--bg", "3000")
    except BaseException:
        for name, p in c.processes.items():
            print(f"===== {name}\n{p.log.read_text(errors='replace')[-2000:]}")
        c.stop()
        raise
    yield c
    c.stop()


def test_two_relays(two):
    wait_for(lambda: len([p for p in two.status()["peers"] if p["connected"]]) == 2)
    a = two.visitor.run("kdig", f"@{two.control_host.address}", "+short", two.name, "A").split()
    assert sorted(a) == sorted(h.address for h in two.relay_hosts)
    for host in two.relay_hosts:
        assert two.curl("--connect-to", f"{two.name}:443:{host.address}:443") == b"hello from the backend\n"
    two.processes["relay1"].kill()
    for _ in range(5):
        assert two.curl() == b"hello from the backend\n"  # curl goes on to the other address
    two.processes["relay1"].start()
    wait_for(lambda: len([p for p in two.status()["peers"] if p["connected"]]) == 2)


def test_passthrough_keeps_the_clients_address(two):
    before = time.time()
    out = two.visitor.run("curl", "-s4", "--cacert", two.ca.cert, "--connect-to", f"{CONTROL}:443:{two.relay_hosts[0].address}:443",
                          "-o", "/dev/null", "-w", "%{http_code} %{remote_ip}", "-H", f"Origin: https://{CONTROL}",
                          "--data-urlencode", "login=ann@example.com", "--data-urlencode", f"password={two.password}",
                          f"https://{CONTROL}/login")
    assert out == f"303 {two.relay_hosts[0].address}" and time.time() - before < 20
    log = two.processes["control"].log.read_text()
    assert f"remote={two.visitor.address}" in [l for l in log.splitlines() if " login user=" in l][-1]
