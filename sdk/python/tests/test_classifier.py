"""A classifier, served by dealer and parties as processes: `tacit up`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tacit import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    ResourceExhausted,
    TacitError,
    Unavailable,
)
from tacit.config import load_config

MODEL = Path(__file__).parents[3] / "models" / "test-bert"
GOOD = "a wonderful film with a warm heart ."
BAD = "dull , slow and far too long ."
TOLERANCE = 0.03  # of logits that reach 2, beside the float model's


@pytest.fixture(scope="module")
def folder(deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with deployed(tmp_path_factory.mktemp("bert"), "--model", str(MODEL)) as path:
        yield path


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with Client.from_config(folder / "gateway.yaml") as client:
        yield client


class Stalled:
    """Stops a role's process while it lasts."""

    def __init__(self, folder: Path, role: str) -> None:
        config = f"--config\0{folder}/{role}.yaml"
        self.pid = next(
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and config in (process / "cmdline").read_text()
        )

    def __enter__(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGCONT)


def test_logits_are_those_of_transformers(client: Client) -> None:
    client.check()
    assert client.labels == ("negative", "positive")
    golden = json.loads((MODEL / "golden.json").read_text())["sentences"]
    results = client.classify_batch([one["text"] for one in golden])
    assert len(results) == len(golden)
    for result, want in zip(results, golden):
        logits = [score.logit for score in result.scores]
        assert logits == pytest.approx(want["logits"], abs=TOLERANCE)
        assert result.label == client.labels[want["logits"][1] > want["logits"][0]]
        assert result.tokens == len(want["ids"])
        assert sum(score.probability for score in result.scores) == pytest.approx(1)


def test_one_text_and_a_pair_are_as_for_the_program(
    tacit: Path, folder: Path, client: Client
) -> None:
    def program(*arguments: str) -> dict:
        out = subprocess.run(
            [tacit, "infer", "--json", "--config", folder / "gateway.yaml", *arguments],
            check=True,
            stdout=subprocess.PIPE,
        )
        return json.loads(out.stdout)

    for result, want in (
        (client.classify(GOOD), program(GOOD)),
        (client.classify("good", "bad"), program("good", "--pair", "bad")),
        (client.classify("[SEP]"), program("[SEP]")),
    ):
        assert result.label == want["label"]
        assert result.tokens == want["tokens"]
        assert [score.logit for score in result.scores] == pytest.approx(
            [score["logit"] for score in want["scores"]], abs=TOLERANCE
        )


def test_batches_of_texts_and_pairs_keep_their_order(client: Client) -> None:
    pair = client.classify("good", "bad")
    results = client.classify_batch(
        [BAD, ("good", "bad"), GOOD], faithful_rounding=True
    )
    assert [result.label for result in results] == [
        "negative",
        pair.label,
        "positive",
    ]
    assert results[1].scores[0].logit == pytest.approx(
        pair.scores[0].logit, abs=TOLERANCE
    )


def test_results_do_not_show_what_the_text_is(client: Client) -> None:
    result = client.classify(GOOD)
    assert "positive" not in repr(result)


@pytest.mark.parametrize(
    "text,pair,message",
    [
        ("", None, "the text is empty"),
        (GOOD, "", "the second text is empty"),
        ("\ud800", None, "surrogate"),
        ("dull " * 127, None, "a text of 129 tokens; the model takes 1 to 128"),
        (GOOD, "dull " * 120, "the model takes 1 to 128"),
    ],
)
def test_bad_texts(client: Client, text: str, pair: str | None, message: str) -> None:
    with pytest.raises(TacitError, match=message) as caught:
        client.classify(text, pair)
    assert caught.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "options,name", [({"timeout": 0}, "timeout"), ({"retries": -1}, "retries")]
)
def test_bad_options(client: Client, options: dict, name: str) -> None:
    with pytest.raises(TacitError, match=name) as caught:
        client.classify(GOOD, **options)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_batches_have_a_size(client: Client) -> None:
    for texts in ([], "one text"):
        with pytest.raises(TacitError, match="no sequence of texts"):
            client.classify_batch(texts)
    with pytest.raises(TacitError, match="a pair is two texts"):
        client.classify_batch([("a", "b", "c")])
    with pytest.raises(ResourceExhausted, match="65 texts; the limit is 64"):
        client.classify_batch(["good"] * 65)


def test_a_generation_says_what_to_call(client: Client) -> None:
    with pytest.raises(FailedPrecondition, match="call classify"):
        client.infer(GOOD)


def test_another_labelling_is_refused(folder: Path, tmp_path: Path) -> None:
    config = load_config(folder / "gateway.yaml")
    model = tmp_path / "gateway"
    shutil.copytree(config.model, model)
    settings = json.loads((model / "config.json").read_text())
    settings["id2label"] = {"0": "positive", "1": "negative"}
    (model / "config.json").write_text(json.dumps(settings))
    with Client(replace(config, model=model)) as client:
        with pytest.raises(FailedPrecondition, match="other sizes or labels"):
            client.classify(GOOD)
    settings["id2label"] = {"0": "positive", "2": "negative"}
    (model / "config.json").write_text(json.dumps(settings))
    with pytest.raises(TacitError, match="id2label"):
        Client(replace(config, model=model))


def test_a_deadline_ends_a_request_at_a_stalled_party(
    folder: Path, client: Client
) -> None:
    client.check()
    start = time.monotonic()
    with Stalled(folder, "party1"):
        with pytest.raises(DeadlineExceeded):
            client.classify(GOOD, timeout=0.7)
        assert time.monotonic() - start < 5
    assert client.classify(GOOD).label == "positive"


def test_closing_ends_a_request(folder: Path) -> None:
    client = Client.from_config(folder / "gateway.yaml")
    client.check()
    with Stalled(folder, "party0"):
        threading.Timer(0.4, client.close).start()
        start = time.monotonic()
        with pytest.raises(Cancelled):
            client.classify(GOOD)
        assert time.monotonic() - start < 5


def test_a_lost_session_is_tried_again_on_a_fresh_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    open_session = client._open_session

    def flaky(*arguments: object) -> tuple[bytes, bytes]:
        if len(opened) < 2:
            opened.append(None)
            raise Unavailable("UNAVAILABLE", "the dealer: lost")
        opened.append(open_session(*arguments))
        return opened[-1]

    monkeypatch.setattr(client, "_open_session", flaky)
    assert client.classify(GOOD).label == "positive"
    assert len(opened) == 3
    opened.clear()
    with pytest.raises(Unavailable, match="lost"):
        client.classify(GOOD, retries=1)
    assert len(opened) == 2


def test_asyncio(folder: Path) -> None:
    async def run() -> None:
        async with AsyncClient.from_config(folder / "gateway.yaml") as client:
            good, bad = await asyncio.gather(
                client.classify(GOOD), client.classify(BAD)
            )
            assert (good.label, bad.label) == ("positive", "negative")
            pairs = await client.classify_batch([("good", "bad"), "good"])
            assert [result.tokens for result in pairs] == [5, 3]
            with pytest.raises(TacitError, match="is empty"):
                await client.classify("")
            with Stalled(folder, "party1"):
                task = asyncio.create_task(client.classify(GOOD))
                await asyncio.sleep(0.4)
                start = time.monotonic()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert time.monotonic() - start < 5
            assert (await client.classify(GOOD)).label == "positive"

    asyncio.run(run())
