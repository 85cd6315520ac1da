"""What every Provider promises, as tests that run against its fake.

An adapter's own test file subclasses :class:`ProviderSuite` and names the ``flavour`` of :mod:`fileplane.testing.fake_provider`; one whose
provider is made otherwise overrides the fixtures ``world`` and ``impatient_world``. What a provider cannot do is not skipped: it has to be
refused, and before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from fileplane.errors import FileNotFound, FileTooLarge, InvalidRange, InvalidValue, ProviderRefused, UnsupportedProviderOperation
from fileplane.model import FileStatus
from fileplane.providers.base import ByteRange, RemoteQuery
from fileplane.secrets.values import Secret
from fileplane.testing.fake_provider.wire import RecordedRequest
from fileplane.testing.provider_world import SECRET, World, new_world, pattern

_NAMES = ("plain.jsonl", 'with "quotes" and ; = %22.jsonl', "naïve 文件 🎉.jsonl", "a\\b.jsonl")
_FOREIGN_IDS = (
    "../models",
    "..",
    ".",
    "a/b",
    "a%2fb",
    "a?b",
    "a#b",
    "a\\b",
    "a b",
    "",
    "a\r\nb",
    "a\x00b",
    "é",
    "x" * 201,
    "%2e%2e",
    "a/..",
)
_UNKNOWN = "file-0123456789abcdef01234567"


class ProviderSuite:
    """Subclass it; every method is a promise."""

    flavour: ClassVar[str] = "openai"
    fields: ClassVar[Mapping[str, str]] = {}
    in_forms: ClassVar[bool] = True
    """Whether files are sent as parts of forms."""
    names_apart: ClassVar[bool] = False
    """Whether a form has the file's name in a field of its own as well, where nothing of it has to be written otherwise."""
    file_field: ClassVar[str] = "file"
    """What the part of a form is called that has the file."""
    form_parts: ClassVar[int] = 2
    """How many parts a form has at most, the file included."""
    keeps_media_type: ClassVar[bool] = True
    """Whether a download has the media type of the upload; otherwise it says no more than that it has bytes."""
    streams: ClassVar[bool] = True
    """Whether a file of unknown length is sent on as it comes, in one request."""

    def content_for(self, purpose: str) -> bytes:  # noqa: ARG002 - for those that are particular
        """What may be uploaded for a purpose."""
        return b"content"

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        """Of an upload that was alone: the requests that had the file's bytes in them. There is at least one."""
        [request] = world.fake.requests
        return [request]

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:
        """Whether a request is one that an adapter should make."""
        root = f"{world.fake.flavour.prefix}/files"
        return request.path == root or request.path.startswith(f"{root}/{file_id}")

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:
        """Whether it carries the target's credential, or none where it must not."""
        return _credential(world) in "".join(request.headers.get(name, "") for name in world.fake.flavour.auth)

    def takes_name(self, filename: str) -> bool:  # noqa: ARG002 - for those that are particular
        """Whether the provider takes files of that name. What it does not take is refused before anything is sent."""
        return True

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with new_world(self.flavour, self.fields) as world:
            yield world

    @pytest.mark.parametrize("announced", [True, False], ids=["of known length", "chunked"])
    @pytest.mark.parametrize("size", [0, 1, 65_537, 10 << 20])
    async def test_what_is_uploaded_is_what_is_kept_and_downloaded(self, world: World, size: int, *, announced: bool) -> None:
        if not size and not world.capabilities.accepts_empty:
            with pytest.raises(InvalidValue):
                await world.upload(b"")
            assert world.fake.requests == []
            return
        body = pattern(size)
        file = await world.upload(body, announced=announced)
        assert file.bytes == size
        assert await world.stored() == [body]
        requests = self.requests_with_the_file(world)
        assert all(request.body_complete for request in requests)
        assert all(("content-length" in request.headers) == (announced or not self.streams) for request in requests)
        if world.reads_back:
            assert await world.download(file.id) == body

    @pytest.mark.parametrize("filename", _NAMES, ids=["plain", "quoted", "of many scripts", "with a backslash"])
    async def test_names_of_files_are_kept_to_the_letter(self, world: World, filename: str) -> None:
        if not self.takes_name(filename):
            with pytest.raises(InvalidValue) as caught:
                await world.upload(filename=filename)
            assert (caught.value.param, world.fake.requests) == ("file", [])
            return
        file = await world.upload(filename=filename)
        [kept] = world.fake.accounts.of(_credential(world)).files.values()
        # In a form, as browsers write them: a name that had %22 cannot be told from one with ".
        assert kept.filename == (filename.replace("%22", '"') if self.in_forms and not self.names_apart else filename)
        assert file.filename in {filename, kept.filename}

    async def test_a_name_with_line_breaks_makes_no_header(self, world: World) -> None:
        filename = 'x"\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune'
        if not self.takes_name(filename):
            with pytest.raises(InvalidValue):
                await world.upload(filename=filename)
            assert world.fake.requests == []
            return
        await world.upload(filename=filename)
        if not self.in_forms:
            return
        [request] = self.requests_with_the_file(world)
        assert [name for name, _ in request.fields].count(self.file_field) == 1
        assert len(request.fields) <= self.form_parts

    async def test_a_file_is_described_in_openai_s_terms(self, world: World) -> None:
        before = int(time.time()) - 1
        made = await world.upload(b"0123456789", filename="ten.jsonl")
        assert made.created_at is not None
        assert before <= made.created_at <= time.time() + 1
        assert (made.filename, made.bytes, made.purpose) == ("ten.jsonl", 10, world.purpose)
        await world.provider.get(world.target, made.id)
        found = await world.provider.get(world.target, made.id)
        assert found.id == made.id
        assert found.filename == ("ten.jsonl" if world.capabilities.keeps_filename else None)
        assert found.bytes == (10 if world.capabilities.keeps_bytes else None)
        assert found.status is FileStatus.PROCESSED, "clients that wait for it would wait for half an hour"
        assert found.created_at is None or found.created_at == made.created_at
        assert found.purpose == (world.purpose if world.capabilities.keeps_purpose else None)

    @pytest.mark.parametrize("limit", [1, 3, 7, 100])
    @pytest.mark.parametrize("newest_first", [True, False], ids=["newest first", "oldest first"])
    async def test_pages_show_every_file_once_and_say_truly_whether_there_is_more(
        self, world: World, limit: int, *, newest_first: bool
    ) -> None:
        made = [(await _upload_at(world, number)).id for number in range(7)]
        world.fake.reset()
        pages = await world.every_page(RemoteQuery(limit=limit, newest_first=newest_first))
        assert [file.id for page in pages for file in page.files] == (made[::-1] if newest_first else made)
        assert [page.has_more for page in pages] == [True] * (len(pages) - 1) + [False]
        assert len(pages) == -(-7 // limit)
        assert all(page.next_cursor == (page.files[-1].id if page.has_more else None) for page in pages)

    async def test_an_empty_list_is_an_empty_page(self, world: World) -> None:
        page = await world.provider.list(world.target, RemoteQuery())
        assert (page.files, page.has_more, page.next_cursor) == ((), False, None)

    async def test_a_cursor_that_is_no_file_is_refused(self, world: World) -> None:
        await world.upload()
        with pytest.raises(Exception, match=r".+") as caught:
            await world.provider.list(world.target, RemoteQuery(limit=2, after=_UNKNOWN))
        assert getattr(caught.value, "status", None) in {400, 404}
        world.fake.reset()
        with pytest.raises(InvalidValue):
            await world.provider.list(world.target, RemoteQuery(after="../x"))
        assert world.fake.requests == []

    async def test_a_list_of_one_purpose_has_no_file_of_another(self, world: World) -> None:
        if not world.capabilities.keeps_purpose:
            with pytest.raises(UnsupportedProviderOperation):
                await world.provider.list(world.target, RemoteQuery(purpose="batch"))
            assert world.fake.requests == []
            return
        purposes = sorted(world.capabilities.purposes or {"batch", "fine-tune"})[:2]
        made = {purpose: (await world.upload(self.content_for(purpose), purpose=purpose)).id for purpose in purposes}
        for purpose, file_id in made.items():
            page = await world.provider.list(world.target, RemoteQuery(purpose=purpose))
            assert [file.id for file in page.files] == [file_id]
        missing = await world.provider.list(world.target, RemoteQuery(purpose="nobody-s"))
        assert missing.files == ()

    async def test_a_file_that_is_unknown_is_not_found(self, world: World) -> None:
        with pytest.raises(FileNotFound):
            await world.provider.get(world.target, _UNKNOWN)
        with pytest.raises(FileNotFound):
            await world.provider.delete(world.target, _UNKNOWN)
        with pytest.raises(FileNotFound if world.capabilities.download else UnsupportedProviderOperation):
            await world.download(_UNKNOWN)

    async def test_an_id_that_would_lead_elsewhere_is_not_found_and_never_sent(self, world: World) -> None:
        for file_id in _FOREIGN_IDS:
            for operation in (world.provider.get, world.provider.delete):
                with pytest.raises(FileNotFound):
                    await operation(world.target, file_id)
            with pytest.raises(FileNotFound):
                await world.download(file_id)
        assert world.fake.requests == []

    async def test_a_deleted_file_is_gone_for_every_call(self, world: World) -> None:
        kept, gone = await world.upload(b"kept"), await world.upload(b"gone")
        await world.provider.delete(world.target, gone.id)
        with pytest.raises(FileNotFound):
            await world.provider.get(world.target, gone.id)
        with pytest.raises(FileNotFound):
            await world.provider.delete(world.target, gone.id)
        page = await world.provider.list(world.target, RemoteQuery())
        assert [file.id for file in page.files] == [kept.id]
        assert await world.stored() == [b"kept"]

    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            (ByteRange(0, 0), slice(0, 1)),
            (ByteRange(3, 7), slice(3, 8)),
            (ByteRange(5), slice(5, None)),
            (ByteRange(None, 4), slice(-4, None)),
            (ByteRange(95, 1_000), slice(95, None)),
        ],
        ids=["the first byte", "some", "to the end", "the last", "beyond the end"],
    )
    async def test_a_range_gives_its_bytes_or_honestly_the_whole(self, world: World, span: ByteRange, expected: slice) -> None:
        if not world.capabilities.download:
            return
        body = pattern(100)
        file_id = await world.downloadable(body)
        async with world.provider.open(world.target, file_id, span) as content:
            received = b"".join([piece async for piece in content])
            if world.capabilities.ranges:
                assert received == body[expected]
                assert content.served is not None
                assert (content.status, content.served.first, content.served.size) == (206, body.index(received), 100)
                assert content.length == len(received)
            else:
                assert (content.status, content.served, received) == (200, None, body)

    async def test_a_range_outside_the_file_is_refused(self, world: World) -> None:
        if not (world.capabilities.download and world.capabilities.ranges):
            return
        file_id = await world.downloadable(b"0123456789")
        with pytest.raises(InvalidRange):
            await world.download(file_id, ByteRange(10, 20))

    async def test_a_download_says_its_length_and_type(self, world: World) -> None:
        if not world.capabilities.download:
            file = await world.upload()
            world.fake.reset()
            with pytest.raises(UnsupportedProviderOperation):
                await world.download(file.id)
            assert world.fake.requests == []
            return
        if not world.reads_back:
            file = await world.upload(b"0123456789")
            with pytest.raises(ProviderRefused) as caught:
                await world.download(file.id)
            assert caught.value.status == 400
        file_id = await world.downloadable(b"0123456789", "application/jsonl")
        async with world.provider.open(world.target, file_id) as content:
            media_type = "application/jsonl" if self.keeps_media_type else "application/octet-stream"
            assert (content.status, content.length, content.media_type, content.served) == (200, 10, media_type, None)

    async def test_an_expiry_is_set_or_refused_before_anything_is_sent(self, world: World) -> None:
        expiry = world.capabilities.expiry
        if expiry is None:
            with pytest.raises(InvalidValue) as caught:
                await world.upload(expires_after=3_600)
            assert caught.value.param == "expires_after"
            assert world.fake.requests == []
            return
        for seconds in (expiry.shortest, expiry.longest):
            file = await world.upload(expires_after=seconds)
            assert file.created_at is not None
            assert file.expires_at == file.created_at + seconds
        world.fake.reset()
        for seconds in (expiry.shortest - 1, expiry.longest + 1):
            with pytest.raises(InvalidValue):
                await world.upload(expires_after=seconds)
        assert world.fake.requests == []

    async def test_a_file_that_has_expired_is_not_found(self, world: World) -> None:
        expiry = world.capabilities.expiry
        if expiry is None:
            return
        file = await world.upload(expires_after=expiry.shortest)
        world.fake.accounts.ahead_seconds = expiry.shortest + 1
        with pytest.raises(FileNotFound):
            await world.provider.get(world.target, file.id)

    async def test_every_purpose_that_is_declared_can_be_uploaded_and_no_other(self, world: World) -> None:
        purposes = world.capabilities.purposes
        for purpose in sorted(purposes or {"batch", "anything-at-all"} if world.capabilities.keeps_purpose else {"batch"}):
            if purposes is None and world.fake.flavour.purposes is not None and purpose not in world.fake.flavour.purposes:
                continue
            assert (await world.upload(self.content_for(purpose), purpose=purpose)).purpose == purpose
        if purposes is not None:
            world.fake.reset()
            with pytest.raises(InvalidValue) as caught:
                await world.upload(purpose="nobody-s")
            assert caught.value.param == "purpose"
            assert all(purpose in caught.value.message for purpose in purposes)
            assert world.fake.requests == []

    async def test_a_file_beyond_the_provider_s_limit_is_refused_before_anything_is_sent(self, world: World) -> None:
        most = world.capabilities.max_bytes_for(world.purpose)
        if most is None:
            return
        with pytest.raises(FileTooLarge):
            await world.upload(b"short", length=most + 1)
        assert world.fake.requests == []

    async def test_only_the_calls_on_files_are_ever_made_and_each_with_the_credential(self, world: World) -> None:
        file = await world.upload()
        await world.provider.list(world.target, RemoteQuery(limit=3))
        await world.provider.get(world.target, file.id)
        await world.provider.delete(world.target, file.id)
        for request in world.fake.requests:
            assert self.is_call_on_files(world, request, file.id), request.path
            names = [name.lower() for name, _ in request.pairs]
            assert len(names) == len(set(names))
            assert self.is_authorised(world, request)
            assert not {"cookie", "expect", "x-portkey-api-key"} & set(names)
            assert request.headers["accept-encoding"] == "identity"


def _credential(world: World) -> str:
    return world.target.secrets.get("api_key", Secret(SECRET)).reveal()


async def _upload_at(world: World, number: int) -> Any:
    """Each a second after the one before, so that their order is certain also where only times say it."""
    file = await world.upload(b"x" * (number + 1))
    world.fake.accounts.ahead_seconds += 1
    return file
