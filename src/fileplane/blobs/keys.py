"""The grammar that the keys of every blob store are confined to."""

from __future__ import annotations

import re
from typing import Final

BLOB_KEY: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}")
"""What :func:`fileplane.ids.new_blob_key` makes."""

UNFINISHED_KEY: Final = re.compile(r"([0-9a-f]{2}/[0-9a-f]{30})\?upload=([!-~]{1,1024})")
"""What an object store shows an unfinished upload under: the blob's key, and the store's own name of the upload."""
