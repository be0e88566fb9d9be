"""A small internet out of network namespaces: one public segment, a NAT, hosts with a resolver of their own.

Every host is a network namespace with a veth into the bridge of the namespace "inet" (198.51.100.0/24 and
2001:db8:51::/64). A private host hangs behind a NAT host that masquerades with nftables, so that nobody can dial it.
A command runs on a host with its own /etc/resolv.conf, bind-mounted in a mount namespace of its own: real resolver
calls reach the host's unbound, and no test passes --resolve.

Works as root; without CAP_NET_ADMIN pytest is started again under `unshare -Urnm` (conftest.py).
"""
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

PREFIX4 = "198.51.100."
PREFIX6 = "2001:db8:51::"


def run(*argv, check=True, **kw):
    """A tool that must succeed; its words are in the exception when it does not."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60, **kw)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def available():
    """Can this process make network namespaces? Asked by doing it."""
    name = f"of-try-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    if done.returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return True


class Host:
    """One namespace. `address` and `address6` are public unless it is behind a NAT."""

    def __init__(self, net, name, address, address6=None):
        self.net, self.name = net, name
        self.ns = f"{net.tag}-{name}"
        self.address, self.address6 = address, address6
        self.resolv = net.folder / f"{name}.resolv.conf"
        self.resolv.write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
        self.hosts = net.folder / f"{name}.hosts"
        self.hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
        run("ip", "netns", "add", self.ns)
        self.ip("link", "set", "lo", "up")
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    def ip(self, *argv):
        return run("ip", "-n", self.ns, *argv)

    def sysctl(self, key, value):
        run(*self.argv("sysctl", "-qw", f"{key}={value}"), check=False)

    def argv(self, *argv):
        """The command line that runs argv on this host."""
        script = f'mount --bind {self.resolv} /etc/resolv.conf && mount --bind {self.hosts} /etc/hosts && exec "$@"'
        return ["nsenter", f"--net=/run/netns/{self.ns}", "unshare", "-m", "sh", "-c", script, "sh", *map(str, argv)]

    def run(self, *argv, **kw):
        return run(*self.argv(*argv), **kw)

    def attach(self, bridge, address, address6, length, gateway=None, gateway6=None):
        """A veth named eth<n> into another namespace's bridge."""
        n = len([l for l in self.ip("-o", "link").splitlines() if ": eth" in l])
        inside, outside = f"eth{n}", f"{self.name}{n}"[:15]
        run("ip", "-n", self.ns, "link", "add", inside, "type", "veth", "peer", "name", outside, "netns", bridge.ns)
        bridge.ip("link", "set", outside, "master", "br0", "up")
        self.ip("address", "add", f"{address}/{length}", "dev", inside)
        if address6:
            self.ip("-6", "address", "add", f"{address6}/64", "dev", inside, "nodad")
        self.ip("link", "set", inside, "up")
        if gateway:
            self.ip("route", "add", "default", "via", gateway)
        if gateway6:
            self.ip("-6", "route", "add", "default", "via", gateway6)
        return inside


class LoopHost:
    """A "host" of the demo: an address of 127.0.0.0/8 and its own resolv.conf and hosts, no namespace of its own."""

    def __init__(self, folder, name, address):
        self.name, self.address, self.address6, self.nat = name, address, None, self
        self.resolv, self.hosts = folder / f"{name}.resolv.conf", folder / f"{name}.hosts"
        self.resolv.write_text("nameserver 127.0.0.1\n")
        self.hosts.write_text("127.0.0.1 localhost\n")

    argv_script = 'mount --bind {resolv} /etc/resolv.conf && mount --bind {hosts} /etc/hosts && exec "$@"'

    def argv(self, *argv):
        script = self.argv_script.format(resolv=self.resolv, hosts=self.hosts)
        return ["unshare", "-m", "sh", "-c", script, "sh", *map(str, argv)]

    def run(self, *argv, **kw):
        return run(*self.argv(*argv), **kw)


class Net:
    """The whole: hosts by name, ended by close()."""
    count = 0

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        Net.count += 1
        self.tag = f"of{os.getpid()}x{Net.count}"
        self.hosts = {}
        self.inet = self._bridge("inet")

    def _bridge(self, name):
        host = Host(self, name, None)
        host.ip("link", "add", "br0", "type", "bridge")
        host.ip("link", "set", "br0", "up")
        self.hosts[name] = host
        return host

    def public(self, name, number):
        host = Host(self, name, f"{PREFIX4}{number}", f"{PREFIX6}{number:x}")
        host.attach(self.inet, host.address, host.address6, 24)
        self.hosts[name] = host
        return host

    def behind_nat(self, name, nat_name, nat_number, lan="192.168.77"):
        """A private host `name` and its NAT router: masquerading out, nothing in."""
        lan_switch = self._bridge(f"lan-{name}")
        nat = self.public(nat_name, nat_number)
        inner = nat.attach(lan_switch, f"{lan}.1", None, 24)
        nat.sysctl("net.ipv4.ip_forward", 1)
        rules = f"""
table ip nat {{
    chain post {{
        type nat hook postrouting priority 100;
        oifname "eth0" masquerade
    }}
}}
table inet filter {{
    chain through {{
        type filter hook forward priority 0; policy drop;
        iifname "{inner}" accept
        ct state established,related accept
    }}
}}
"""
        subprocess.run(nat.argv("nft", "-f", "-"), input=rules, text=True, check=True, timeout=30)
        host = Host(self, name, f"{lan}.10")
        host.attach(lan_switch, host.address, None, 24, gateway=f"{lan}.1")
        host.nat = nat
        self.hosts[name] = host
        return host

    def close(self):
        for host in self.hosts.values():
            subprocess.run(["ip", "netns", "del", host.ns], capture_output=True)


def reexec_argv(argv):
    """How to start argv again with namespaces of its own, or None when the system does not allow that."""
    if not shutil.which("unshare"):
        return None
    inner = "mount -t tmpfs tmpfs /run && mkdir -p /run/netns && ip link set lo up && exec \"$@\""
    prefix = ["unshare", "-Urnm", "sh", "-c", inner, "sh"]
    done = subprocess.run([*prefix, "ip", "netns", "add", "of-try"], capture_output=True)
    return [*prefix, *argv] if done.returncode == 0 else None


def die_with_parent():
    """preexec_fn: SIGKILL when the test runner goes, whatever happens to it; Ctrl-C works although a shell in the background
    had it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(1, 9)
