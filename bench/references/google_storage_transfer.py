"""The least that one file takes to or from Cloud Storage: Google's own library alone, in parts of one size.

Usage: google_storage_transfer.py up|down ENDPOINT BUCKET KEY FILE PART_BYTES

Prints the seconds that the transfer took, without Python's start. What comes down goes nowhere.
"""

from __future__ import annotations

import io
import sys
import time

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client


class Nowhere(io.RawIOBase):
    """Takes bytes and counts them."""

    count = 0

    def write(self, data: bytes) -> int:  # type: ignore[override] # bytes are all that it is given
        """Counts them."""
        self.count += len(data)
        return len(data)

    def writable(self) -> bool:
        """It is."""
        return True


def main() -> None:
    way, endpoint, bucket, key, name, part_bytes = sys.argv[1:]
    client = Client(project="bench", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    began = time.perf_counter()
    if way == "up":
        client.bucket(bucket).blob(key, chunk_size=int(part_bytes)).upload_from_filename(name)
    else:
        client.bucket(bucket).blob(key).download_to_file(Nowhere(), raw_download=True, checksum=None)
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
