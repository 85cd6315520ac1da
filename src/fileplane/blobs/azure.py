"""Azure Blob Storage, through obstore, which finds credentials as Azure's own tools do: keys, service principals, managed identities.

Azure neither names an unfinished upload nor lets one be aborted: blocks that no blob has been made of are invisible, and removed by Azure
itself after a week.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from obstore.store import AzureStore

from fileplane.blob_location import BlobLocation
from fileplane.blobs.base import ShownAs
from fileplane.blobs.bucket import BucketUnusable, LinksImpossible
from fileplane.blobs.obstore_bucket import FAILURES, ObstoreBucket, client_options, retry_options

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION: Final = "2021-08-06"
_KEY_VARIABLES: Final = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
_ACCOUNT_VARIABLE: Final = "AZURE_STORAGE_ACCOUNT_NAME"
_CLOCKS_APART: Final = timedelta(minutes=5)


class AzureBucket(ObstoreBucket):
    """See :class:`~fileplane.blobs.bucket.Bucket`; a bucket is a container here."""

    def __init__(self, location: BlobLocation, *, part_bytes: int, deadline_seconds: float) -> None:
        """Raises :class:`BucketUnusable`."""
        self._location = location
        options = location.options
        self._account = options.get("account") or os.environ.get(_ACCOUNT_VARIABLE, "")
        if not self._account:
            raise BucketUnusable(f"{location} names no storage account. Add ?account=..., or set {_ACCOUNT_VARIABLE}.")
        endpoint = options.get("endpoint")
        self._endpoint = options.get("public_endpoint") or endpoint or f"https://{self._account}.blob.core.windows.net"
        config: dict[str, Any] = {"account_name": self._account, "disable_tagging": True}
        if endpoint is not None:
            config["endpoint"] = endpoint
        try:
            store = AzureStore(
                location.bucket,
                prefix=location.prefix or None,
                config=config,  # type: ignore[arg-type] # a typed dictionary made in steps
                client_options=client_options(endpoint=endpoint, ca=options.get("ca"), deadline_seconds=deadline_seconds),
                retry_config=retry_options(deadline_seconds),
            )
        except FAILURES as error:
            raise BucketUnusable(f"{location} cannot be opened: {error}.") from error
        super().__init__(store, part_bytes)

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        """See :meth:`Bucket.link`: a shared access signature for one blob, which takes the account's key."""
        account_key = _account_key(os.environ)
        name = f"{self._location.prefix}/{key}" if self._location.prefix else key
        now = datetime.now(UTC)
        values = {
            "sp": "r",
            "st": _time(now - _CLOCKS_APART),
            "se": _time(now + timedelta(seconds=seconds)),
            "sv": _VERSION,
            "sr": "b",
            "rscc": "private, no-store",
            "rscd": shown.disposition,
            "rsct": shown.media_type,
        }
        resource = f"/blob/{self._account}/{self._location.bucket}/{name}"
        signed = (values["sp"], values["st"], values["se"], resource, "", "", "", values["sv"], values["sr"], "", "")
        text = "\n".join((*signed, values["rscc"], values["rscd"], "", "", values["rsct"]))
        signature = base64.b64encode(hmac.new(account_key, text.encode(), hashlib.sha256).digest()).decode()
        return f"{self._endpoint}/{self._location.bucket}/{quote(name)}?{urlencode(values | {'sig': signature}, quote_via=quote)}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _account_key(environment: Mapping[str, str]) -> bytes:
    """Raises :class:`LinksImpossible`."""
    for variable in _KEY_VARIABLES:
        if environment.get(variable):
            try:
                return base64.b64decode(environment[variable], validate=True)
            except binascii.Error as error:
                raise LinksImpossible(f"{variable} is no key of a storage account: it is not base64.") from error
    raise LinksImpossible(
        f"Links to Azure Blob that carry a file's name and type are signed with the account's key: set {_KEY_VARIABLES[0]}, or "
        "content_delivery=proxy."
    )
