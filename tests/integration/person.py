"""A person with a browser, as far as forms and cookies go: signs in with a password, loads pages, sends their forms."""
import http.client
import re
import urllib.parse

PASSWORD = "correct horse battery"


class Page:
    def __init__(self, response, path):
        self.status, self.headers, self.path = response.status, response.headers, path
        self.text = response.read().decode()
        self.to = response.headers.get("Location")

    def field(self, name):
        return re.search(rf'name={name} value="([^"]*)"', self.text).group(1)

    def choices(self, name):
        return re.findall(rf'name={name} value="?([^" >]*)"?', self.text)

    def checked(self, name):
        return re.search(rf'name={name} value="?([^" >]*)"? checked', self.text).group(1)

    def approval(self, **changed):
        """The approve form as it stands, but for what is changed; None leaves a field out."""
        fields = {k: self.field(k) for k in ("csrf", "etag", "nonce")}
        fields.update(grant=self.checked("grant"), seconds=self.checked("seconds"))
        fields.update({p: "1" for p in re.findall(r"name=(p\d+) value=1 checked>", self.text)})
        return {k: v for k, v in {**fields, **changed}.items() if v is not None}

    def __repr__(self):
        return f"{self.status} {self.to or ''} {re.sub('<[^>]*>', ' ', self.text)[:1500]}"


class Person:
    def __init__(self, control, login, password=PASSWORD):
        self.control, self.login, self.cookies, self.c = control, login, {}, None
        page = self.post("/login", {"login": login, "password": password})
        assert page.status == 303, page

    def ask(self, method, path, fields=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items() if v is not None}
        headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        body = None if fields is None else urllib.parse.urlencode(fields)
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        for again in (True, False):
            self.c = self.c or self.control.connect()
            try:
                self.c.request(method, path, body, headers)
                response = self.c.getresponse()
                break
            except (http.client.RemoteDisconnected, ConnectionError):
                self.c = None
                assert again
        for cookie in response.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        return Page(response, path)

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, fields, origin=None):
        return self.ask("POST", path, fields, Origin=origin or self.control.origin)

    def approve(self, path, **changed):
        return self.post(f"{path}/approve", self.get(path).approval(**changed))


def set_up(control, *people):
    """The owner's password by the one-time code; others get the same one, each with their role."""
    Anonymous(control).post("/setup", {"code": control.secret("setup-code"), "password": PASSWORD})
    for login, role in people:
        control.add_user(login, role)
        with control.db() as db:
            db.execute("INSERT INTO credentials(user_id, hash, created) SELECT (SELECT id FROM users WHERE login = ?), hash, 1"
                       " FROM credentials LIMIT 1", (login,))


class Anonymous(Person):
    def __init__(self, control):
        self.control, self.cookies, self.c = control, {}, None
