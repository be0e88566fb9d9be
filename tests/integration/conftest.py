"""Fixtures. Without CAP_NET_ADMIN pytest starts itself again in a user namespace; failing that, tests are skipped by name."""
import atexit
import os
import shutil
import sys
import tempfile

import pytest

import cluster as clusterlib
import net as netlib


def own_folder(config):
    """Runs side by side must not share pytest's own root: whoever starts closes it (0700) under the others, and uacme's user
    then reaches nothing."""
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and not config.option.basetemp:
        root = tempfile.mkdtemp(prefix="of.")
        os.chmod(root, 0o755)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = root
        if not os.environ.get("OPENFUNNEL_KEEP"):
            atexit.register(shutil.rmtree, root, ignore_errors=True)  # after pytest's own, which is registered later


def pytest_configure(config):
    config.addinivalue_line("markers", "loopback: runs on loopback high ports, without any privilege")
    own_folder(config)
    if netlib.available() or os.environ.get("OPENFUNNEL_REEXEC"):
        return
    argv = netlib.reexec_argv([sys.executable, "-m", "pytest", *config.invocation_params.args])
    if argv:
        os.environ["OPENFUNNEL_REEXEC"] = "1"
        os.execvp(argv[0], argv)


def pytest_collection_modifyitems(items):
    """Without namespaces only the loopback subset runs; each of the others is listed as skipped."""
    if not netlib.available():
        skip = pytest.mark.skip(reason="no network namespaces here: neither CAP_NET_ADMIN nor unshare -Urnm")
        for item in items:
            if "loopback" not in item.keywords:
                item.add_marker(skip)


def _logs(c):
    for name, p in c.processes.items():
        if not name.startswith("unbound"):
            print(f"===== {name}\n{p.log.read_text(errors='replace')[-3000:]}")


def _cluster(folder, **kw):
    c = clusterlib.Cluster(folder, **kw)
    try:
        c.start()
    except BaseException:
        _logs(c)
        c.stop()
        raise
    return c


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("of")
    # uacme's user must reach its order's directory; what is secret has its own mode.
    for p in (path, path.parent, path.parent.parent):
        if p.stat().st_uid == os.getuid():
            p.chmod(0o755)
    yield path
    if not os.environ.get("OPENFUNNEL_KEEP"):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def fresh(folder):
    """Registered, nothing permitted."""
    c = _cluster(folder / "fresh")
    yield c
    _logs(c)
    c.stop()


@pytest.fixture(scope="module")
def live(folder):
    """Permitted, a backend, and a background funnel that is open."""
    c = _cluster(folder / "live")
    try:
        c.first_approval()
        c.backend()
        c.funnel("--bg", "3000")
    except BaseException:
        _logs(c)
        c.stop()
        raise
    yield c
    _logs(c)
    c.stop()
