"""Bytes by key, the same in a folder and in S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from storage.blobs import Blobs, BlobsUnavailable, open_blobs
from storage.database import StorageError


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    client: Any = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="media")
    yield f"s3://media/atelier?endpoint=http://{host}:{port}&region=us-east-1"
    server.stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return open_blobs(str(tmp_path / "blobs") if request.param == "folder" else request.getfixturevalue("s3"))


async def test_what_is_put_is_got_and_putting_again_replaces_it(blobs: Blobs) -> None:
    await blobs.put("jobs/1/1/0.png", b"one")
    await blobs.put("jobs/1/1/0.png", b"another")
    assert await blobs.get("jobs/1/1/0.png") == b"another"


async def test_what_is_not_there_is_none_and_deleting_it_is_no_error(blobs: Blobs) -> None:
    assert await blobs.get("jobs/9/9/9.png") is None
    await blobs.delete(["jobs/9/9/9.png"])


async def test_old_keys_are_listed_and_deleted(blobs: Blobs) -> None:
    keys = [f"jobs/{number}/1/0.png" for number in range(5)]
    for key in keys:
        await blobs.put(key, b"x")
    soon, before = datetime.now(UTC) + timedelta(minutes=1), datetime.now(UTC) - timedelta(minutes=1)
    assert sorted([key async for batch in blobs.older_than(soon) for key in batch]) == keys
    assert [key async for batch in blobs.older_than(before) for key in batch] == []
    await blobs.delete(keys)
    assert await blobs.get(keys[0]) is None


async def test_a_store_that_is_away_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "blobs"
    store = open_blobs(str(blocked))
    (blocked / "jobs").write_text("a file where a folder must be")
    with pytest.raises(BlobsUnavailable, match="could not write"):
        await store.put("jobs/1/1/0.png", b"x")


def test_another_kind_of_store_is_refused_in_a_sentence() -> None:
    with pytest.raises(StorageError, match="use a folder or s3"):
        open_blobs("ftp://host/blobs")
