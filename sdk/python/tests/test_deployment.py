"""Against dealer and parties as processes: `tacit up`.

Needs the built program: TACIT_BINARY, or build/bin/tacit of this tree.
"""

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tacit import AsyncClient, Client, TacitError
from tacit.config import load_config

TACIT = Path(
    os.environ.get(
        "TACIT_BINARY", Path(__file__).parents[3] / "build" / "bin" / "tacit"
    )
)
PROMPT = "Once upon a time"

pytestmark = pytest.mark.skipif(
    not TACIT.exists(), reason=f"{TACIT} is not built: run make build"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("deployment")
    with open(path / "up.log", "w") as log:
        up = subprocess.Popen(
            [TACIT, "up", "--dir", path, "--context", "256", "--threads", "1"],
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


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with Client.from_config(folder / "gateway.yaml") as client:
        yield client


def tacit_infer(folder: Path, *options: str) -> dict:
    out = subprocess.run(
        [
            TACIT,
            "infer",
            "--json",
            "--config",
            folder / "gateway.yaml",
            *options,
            PROMPT,
        ],
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(out.stdout)


def text_of(result: dict) -> str:
    found = result if "text" in result else result["sequences"][0]
    return found["text"]


def test_greedy_text_is_that_of_the_program(folder: Path, client: Client) -> None:
    answer = client.infer(PROMPT, max_tokens=20)
    pieces = list(answer)
    assert "".join(pieces) == answer.text
    assert answer.text == text_of(tacit_infer(folder, "--max-tokens", "20"))
    assert len(pieces) > 1
    assert len(answer.tokens) == 20
    assert answer.finish_reason == "length"
    assert answer.sessions == 1


def test_a_seed_gives_the_text_that_it_gives_the_program(
    folder: Path, client: Client
) -> None:
    # Rounding coins are fresh in each session: now and then a draw falls so near
    # the edge between two tokens that they decide.
    same = 0
    for seed in (6, 7, 8):
        options = f"--max-tokens 12 --temperature 0.9 --top-k 20 --seed {seed}"
        want = tacit_infer(folder, *options.split())
        answer = client.infer(
            PROMPT, max_tokens=12, temperature=0.9, top_k=20, seed=seed
        )
        same += "".join(answer) == text_of(want)
    assert same >= 2


def test_the_parties_sample(client: Client) -> None:
    answer = client.infer(
        PROMPT, max_tokens=3, sampling="secure", temperature=0.8, top_k=5
    )
    list(answer)
    assert len(answer.tokens) == 3


def test_a_stop_text_ends_the_answer(client: Client) -> None:
    answer = client.infer(PROMPT, max_tokens=100, stop=" ")
    list(answer)
    assert answer.finish_reason == "stop"
    assert len(answer.tokens) < 10


def test_leaving_early_frees_the_session(client: Client, folder: Path) -> None:
    with client.infer(PROMPT, max_tokens=200) as answer:
        for piece in answer:
            assert piece
            break
    time.sleep(1)
    log = (folder / "party0.log").read_text()
    assert log.count("session_ended") >= 1
    assert '"code":"CANCELLED"' in log
    assert len(list(client.infer(PROMPT, max_tokens=3))) > 0


def test_cancelling_from_another_thread(client: Client) -> None:
    answer = client.infer(PROMPT, max_tokens=200)
    threading.Timer(0.5, answer.cancel).start()
    start = time.monotonic()
    list(answer)
    assert answer.finish_reason == "cancelled"
    assert time.monotonic() - start < 5
    assert list(answer) == []


def test_a_deadline_ends_the_request(client: Client) -> None:
    with pytest.raises(TacitError, match="DEADLINE_EXCEEDED"):
        list(client.infer(PROMPT, max_tokens=200, timeout=0.5))
    assert len(list(client.infer(PROMPT, max_tokens=3))) > 0


def test_requests_run_at_the_same_time(client: Client) -> None:
    want = "".join(client.infer(PROMPT, max_tokens=8))
    texts = []
    threads = [
        threading.Thread(
            target=lambda: texts.append("".join(client.infer(PROMPT, max_tokens=8)))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [want] * 3


def test_asyncio(folder: Path, client: Client) -> None:
    async def run() -> tuple[str, list[str]]:
        async with AsyncClient.from_config(folder / "gateway.yaml") as aclient:
            pieces = [p async for p in aclient.infer(PROMPT, max_tokens=8)]

            async def endless() -> None:
                async for _ in aclient.infer(PROMPT, max_tokens=200):
                    pass

            task = asyncio.create_task(endless())
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            again = [p async for p in aclient.infer(PROMPT, max_tokens=8)]
            return "".join(pieces), again

    text, again = asyncio.run(run())
    assert text == "".join(client.infer(PROMPT, max_tokens=8))
    assert "".join(again) == text


@pytest.mark.parametrize(
    "prompt,options,message",
    [
        ("", {}, "the prompt is empty"),
        (PROMPT, {"max_tokens": 0}, "max_tokens"),
        (PROMPT, {"max_tokens": 300}, "context of 256"),
        (PROMPT, {"sampling": "somewhere"}, "somewhere"),
        (PROMPT, {"temperature": -1}, "temperature"),
        (
            PROMPT,
            {"sampling": "secure", "repetition_penalty": 1.1},
            "repetition penalty",
        ),
    ],
)
def test_bad_requests(client: Client, prompt: str, options: dict, message: str) -> None:
    with pytest.raises(TacitError, match=message) as caught:
        client.infer(prompt, **options)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_the_wrong_role_is_refused(folder: Path) -> None:
    config = load_config(folder / "gateway.yaml")
    swapped = {
        **config.addresses,
        "party0": config.addresses["party1"],
        "party1": config.addresses["party0"],
    }
    with Client(replace(config, addresses=swapped)) as client:
        with pytest.raises(TacitError, match="PERMISSION_DENIED.*party/0"):
            client.infer(PROMPT)


def test_another_ca_is_refused(folder: Path, tmp_path: Path) -> None:
    subprocess.run([TACIT, "certs", "--out", tmp_path / "certs"], check=True)
    config = load_config(folder / "gateway.yaml")
    ca = tmp_path / "certs" / "gateway" / "ca.pem"
    with Client(replace(config, ca=ca)) as client:
        with pytest.raises(TacitError, match="UNAUTHENTICATED"):
            client.infer(PROMPT)


def test_a_party_certificate_is_no_gateway(folder: Path) -> None:
    config = load_config(folder / "gateway.yaml")
    certs = folder / "certs" / "party0"
    with Client(
        replace(config, cert=certs / "cert.pem", key=certs / "key.pem")
    ) as client:
        with pytest.raises(TacitError, match="names no gateway"):
            client.infer(PROMPT)


def test_an_absent_role_is_named(folder: Path) -> None:
    config = load_config(folder / "gateway.yaml")
    addresses = {**config.addresses, "party1": "127.0.0.1:1"}
    with Client(replace(config, addresses=addresses)) as client:
        with pytest.raises(TacitError, match="UNAVAILABLE: party1"):
            client.infer(PROMPT)
