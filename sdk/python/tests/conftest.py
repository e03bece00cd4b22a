"""Deployments to test against."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

TREE = Path(__file__).parents[3]
TACIT = Path(os.environ.get("TACIT_BINARY", TREE / "build" / "bin" / "tacit"))

Deploy = Callable[..., AbstractContextManager[Path]]


@contextmanager
def _deployed(path: Path, *options: str) -> Iterator[Path]:
    """`tacit up` in `path`, as long as the body runs."""
    with open(path / "up.log", "w") as log:
        up = subprocess.Popen(
            [TACIT, "up", "--dir", path, "--threads", "1", *options],
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(300):
            if up.poll() is not None:
                pytest.fail((path / "up.log").read_text())
            if "up, the gateway" in (path / "up.log").read_text():
                break
            time.sleep(0.2)
        yield path
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0


@pytest.fixture(scope="session")
def tacit() -> Path:
    """The program: TACIT_BINARY, or build/bin/tacit of this tree."""
    if not TACIT.exists():
        pytest.skip(f"{TACIT} is not built: run make build")
    return TACIT


@pytest.fixture(scope="session")
def deployed(tacit: Path) -> Deploy:
    return _deployed
