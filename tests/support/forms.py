"""Upload forms byte by byte, since a library would mend or escape what a test wants to send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import httpx2

BOUNDARY = b"form-boundary"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
END = b"--" + BOUNDARY + b"--\r\n"


def part(disposition: bytes, content: bytes, *headers: bytes) -> bytes:
    """One part of a form; ``disposition`` is what follows ``form-data; ``."""
    lines = [b"--" + BOUNDARY, b"Content-Disposition: form-data; " + disposition, *headers, b"", b""]
    return b"\r\n".join(lines) + content + b"\r\n"


def field(name: str, value: str | bytes) -> bytes:
    return part(b'name="' + name.encode() + b'"', value.encode() if isinstance(value, str) else value)


def file_part(content: bytes = b"content", *, filename: str | bytes = "data.bin", media_type: str | None = None) -> bytes:
    """``filename`` goes out as the bytes that it is given as; a text is escaped as the SDKs escape it."""
    name = filename if isinstance(filename, bytes) else as_sent(filename)
    headers = () if media_type is None else (f"Content-Type: {media_type}".encode(),)
    return part(b'name="file"; filename="' + name + b'"', content, *headers)


def as_sent(filename: str) -> bytes:
    """A file name inside quotes, as browsers and the SDKs put it there (WHATWG HTML, multipart form data)."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()


def form(*parts: bytes, end: bytes = END) -> bytes:
    return b"".join(parts) + end


def simple_form(content: bytes = b"content", *, purpose: str = "user_data", filename: str | bytes = "data.bin") -> bytes:
    return form(field("purpose", purpose), file_part(content, filename=filename))


def overhead(**options: str) -> int:
    """The bytes of :func:`simple_form` that are not the file's own."""
    return len(simple_form(b"", **options))


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    """A body that is sent chunked, in chunks of ``size`` bytes."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


def send(client: httpx2.Client, body: bytes | Iterable[bytes], *, content_type: str = FORM_TYPE, **headers: str) -> httpx2.Response:
    """POSTs a body as it is: with its length when it is bytes, else chunked."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/files", content=body, headers={"content-type": content_type, **named})


def upload(
    client: httpx2.Client,
    content: bytes = b"content",
    *,
    filename: str | bytes = "data.bin",
    purpose: str = "user_data",
    media_type: str | None = None,
    expires_after: int | None = None,
) -> httpx2.Response:
    """One whole upload in the order in which the Python SDK sends it."""
    fields = [field("purpose", purpose)]
    if expires_after is not None:
        fields += [field("expires_after[anchor]", "created_at"), field("expires_after[seconds]", str(expires_after))]
    return send(client, form(*fields, file_part(content, filename=filename, media_type=media_type)))


def uploaded(client: httpx2.Client, content: bytes = b"content", **options: object) -> dict[str, object]:
    """The File object of an upload that must succeed."""
    response = upload(client, content, **options)
    assert response.status_code == 200, response.text
    return response.json()
