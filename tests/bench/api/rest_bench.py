#!/usr/bin/python3
"""GET device/{id} over keep-alive TLS at 10,000 nodes with 1,000 listeners for events, beside nginx that serves the same bytes
from a file, in the same run; and the list of all devices."""
import pathlib
import socket
import subprocess
import tempfile

from tailnet import control, figure, raise_descriptors, tailnet

NODES, LISTENERS = 10000, 1000
REQUESTS, CLIENTS = 20000, 16  # 16 clients: more only wait for each other on two cores


def load(url, *headers):
    """(requests per second, p99 in ms) as h2load sees them over HTTP/1.1."""
    with tempfile.NamedTemporaryFile() as log:
        done = subprocess.run(["h2load", "--h1", "-n", str(REQUESTS), "-c", str(CLIENTS), "-t", "1", "--log-file", log.name,
                               *[f"--header={h}" for h in headers], url], capture_output=True, text=True, timeout=120)
        lines = [line.split("\t") for line in pathlib.Path(log.name).read_text().splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == REQUESTS and all(status == "200" for _, status, _ in lines), done.stdout
    took = sorted(int(us) for _, _, us in lines)
    rate = float(done.stdout.split("finished in")[1].split(",")[1].split()[0])
    return rate, took[len(took) * 99 // 100] / 1000


class Nginx:
    """One worker a core, as control has one loop and its pool: both may use the machine."""

    def __init__(self, folder, crt, key, body):
        self.port = control.free_port()
        folder.chmod(0o755)
        (folder / "www").mkdir(mode=0o755)
        (folder / "www/device").write_bytes(body)
        conf = folder / "nginx.conf"
        conf.write_text(f"""daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/nginx.log;
events {{ worker_connections 2048; }}
http {{ access_log off; keepalive_requests 1000000; default_type application/json;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate {crt}; ssl_certificate_key {key}; root {folder}/www; }} }}
""")
        self.p = subprocess.Popen(["/usr/sbin/nginx", "-c", conf, "-e", f"{folder}/nginx.log"], stderr=subprocess.DEVNULL)
        control.wait_for(self.listens, 10)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.p.terminate()
        self.p.wait(10)


def listen(t, count):
    """Open event streams; they only stay. One credential has ten."""
    keys, open_ones = t.keys(count // 10), []
    for i in range(count):
        c, key = t.connect(), keys[i // 10]
        c.request("GET", "/api/v2/tailnet/-/events", headers={"Authorization": f"Bearer {key}"})
        response = c.getresponse()
        if response.status != 200:
            raise SystemExit(f"events: {response.status} {response.read()[:300]}")
        open_ones.append(c)
    return open_ones


def main():
    raise_descriptors()
    with tailnet(NODES) as t:
        auth = f"Authorization: Bearer {t.secret('api-key')}"
        path = f"/api/v2/device/{t.ids[NODES // 2]}"
        body = t.owner()("GET", path).raw
        listeners = listen(t, LISTENERS)
        with tempfile.TemporaryDirectory() as folder:
            nginx = Nginx(pathlib.Path(folder), *t.ca.issue("nginx", "127.0.0.1"), body)
            try:
                theirs = load(f"https://127.0.0.1:{nginx.port}/device")
            finally:
                nginx.stop()
        ours = load(t.origin + path, auth)
        figure("GET device/{id}, 10,000 nodes, 1,000 listeners", ours[0], "1/s", ">= 5000")
        figure("GET device/{id}, 10,000 nodes, 1,000 listeners", theirs[0], "1/s", peer="nginx, a file")
        figure("GET device/{id}, p99", ours[1], "ms", "<= 10")
        figure("GET device/{id}, p99", theirs[1], "ms", peer="nginx, a file")
        figure("list of 10,000 devices", t.get("/api/v2/tailnet/-/devices", 3) * 1e3, "ms", "<= 150")
        for c in listeners:
            c.close()


if __name__ == "__main__":
    main()
