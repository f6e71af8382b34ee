"""Artifacts' bytes, in a local folder or S3, through obstore. Keys say whose attempt wrote them.

folder           a path
s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1
                 credentials come from the environment, as every S3 client reads them
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from storage.database import StorageError


class BlobsUnavailable(StorageError):
    """The store is away or full. Nothing counts as written."""


class Blobs:
    """Bytes by key. Writing the same key again replaces it whole, never in part."""

    def __init__(self, store: ObjectStore) -> None:
        self._store: Any = store

    async def put(self, key: str, data: bytes) -> None:
        try:
            await obstore.put_async(self._store, key, data)
        except (BaseError, OSError) as error:
            raise BlobsUnavailable(_sentence("write", key, error)) from error

    async def get(self, key: str) -> bytes | None:
        """None when nothing is there."""
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise BlobsUnavailable(_sentence("read", key, error)) from error

    async def delete(self, keys: list[str]) -> None:
        """What is not there is deleted already."""
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise BlobsUnavailable(_sentence("delete", key, error)) from error

    async def older_than(self, moment: datetime) -> AsyncIterator[list[str]]:
        """All keys last written before `moment`, some hundreds at a time."""
        try:
            listing: Any = obstore.list(self._store, chunk_size=500)  # pyright: ignore[reportUnknownMemberType]
            async for batch in listing:
                yield [entry["path"] for entry in batch if entry["last_modified"] < moment]
        except (BaseError, OSError) as error:
            raise BlobsUnavailable(_sentence("list", "", error)) from error


def open_blobs(url: str) -> Blobs:
    """The store at a folder's path or an `s3://` URL. Raises StorageError for another kind of URL."""
    parts = urlsplit(url)
    match parts.scheme:
        case "" | "file":
            folder = Path(parts.path or url)
            folder.mkdir(parents=True, exist_ok=True)
            return Blobs(LocalStore(prefix=str(folder.resolve()), automatic_cleanup=False))
        case "s3":
            return Blobs(_s3(parts.netloc, parts.path.strip("/"), dict(parse_qsl(parts.query))))
        case _:
            raise StorageError(
                f"{parts.scheme}:// is not a blob store that Atelier speaks: use a folder or s3://"
            )


def _s3(bucket: str, prefix: str, options: dict[str, str]) -> Any:
    endpoint = options.get("endpoint")
    settings: dict[str, Any] = {"virtual_hosted_style_request": endpoint is None}
    if endpoint:
        settings |= {"endpoint": endpoint, "client_options": {"allow_http": endpoint.startswith("http://")}}
    if region := options.get("region"):
        settings["region"] = region
    return S3Store(bucket, prefix=prefix or None, **settings)


def _sentence(doing: str, key: str, error: Exception) -> str:
    return f"could not {doing} {key or 'the store'}: {type(error).__name__}"
