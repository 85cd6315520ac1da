"""What holds for uploads in parts to providers: which pass through, what is refused early, and how they are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from fileplane.access import Principal
from fileplane.errors import FileTooLarge, InvalidValue, UnsupportedProviderOperation, UploadNotPending, UploadUnresolved
from fileplane.files.form import FileBegins, FormField
from fileplane.files.remote_expiry import ends_here
from fileplane.files.remote_form import RemoteForm
from fileplane.files.remote_route import RemoteTarget
from fileplane.ids import parse_part_id
from fileplane.model import File, FileStatus
from fileplane.providers.base import Capabilities
from fileplane.providers.part_uploads import uploads_at
from fileplane.settings import Settings
from fileplane.uploads import NewUpload, RoutedUpload, Upload, UploadStatus, key_target, own_target


class Made:
    """The :class:`~fileplane.files.sending.Source` of a file that the provider makes of parts that it has."""

    at_most: int | None = None
    sha256: str | None = None

    def __init__(self, form: RemoteForm, size: int) -> None:
        self.form = form
        self.size = size

    async def content(self) -> AsyncIterator[bytes]:
        """Nothing of it is here."""
        nothing: tuple[bytes, ...] = ()
        for piece in nothing:
            yield piece


def passes_on(target: RemoteTarget) -> bool:
    """Whether parts go to the provider as they come. Where a copy is kept here, its bytes must have been here in their order."""
    return uploads_at(target.provider, target.target) is not None and not target.keep_copy


def is_recorded(target: RemoteTarget) -> bool:
    """Whether uploads there are recorded here, if they are of a project."""
    return target.virtual_key_id is not None or not passes_on(target)


def target_name(target: RemoteTarget) -> str:
    """As :attr:`~fileplane.uploads.Upload.target` has it."""
    if target.virtual_key_id is not None:
        return key_target(target.virtual_key_id)
    return own_target(target.provider.name, target.target.custom_host)


def form_with(settings: Settings, principal: Principal, fields: Sequence[FormField], filename: str, media_type: str) -> RemoteForm:
    """The form that an ordinary upload of the file would have. Raises :class:`~fileplane.errors.InvalidValue`."""
    form = RemoteForm(settings, principal)
    for field in fields:
        form.take_field(field)
    try:
        form.begin_file(FileBegins(filename, media_type))
        assert form.filename is not None
    except InvalidValue as error:
        raise InvalidValue(str(error), param="filename") from error
    return form


def form_of(settings: Settings, principal: Principal, upload: Upload) -> RemoteForm:
    """The form again, for whoever completes an upload, who need not be who announced it."""
    fields = [FormField("purpose", upload.purpose)]
    if upload.expires_after is not None:
        fields += [FormField("expires_after[anchor]", "created_at"), FormField("expires_after[seconds]", str(upload.expires_after))]
    return form_with(settings, principal, fields, upload.filename, upload.media_type)


def refuse_early(name: str, can: Capabilities, target: RemoteTarget, new: NewUpload) -> None:
    """What the provider is known not to take. Raises UnsupportedProviderOperation, InvalidValue or FileTooLarge."""
    if not can.upload:
        raise UnsupportedProviderOperation(f"{name} takes no uploads through this API.", param="x-portkey-provider")
    if can.purposes is not None and new.purpose not in can.purposes:
        names = ", ".join(f"'{purpose}'" for purpose in sorted(can.purposes))
        raise InvalidValue(f"'{new.purpose[:80]}' is not one of [{names}] - 'purpose'", param="purpose")
    if not ends_here(target, new.expires_after) and new.expires_after is not None:
        own = can.expiry
        if own is None or not own.shortest <= new.expires_after <= own.longest:
            said = "no expiry of one's own" if own is None else f"expiries from {own.shortest} to {own.longest} seconds"
            raise InvalidValue(f"{name} takes {said}.", param="expires_after")
    most = can.max_bytes_for(new.purpose)
    if most is not None and new.bytes > most:
        raise FileTooLarge(f"The provider takes files of at most {most} bytes. Send a smaller one.", param="bytes")


def require_pending(row: RoutedUpload) -> None:
    """Raises :class:`~fileplane.errors.UploadUnresolved` or :class:`~fileplane.errors.UploadNotPending`."""
    if row.unresolved:
        raise UploadUnresolved
    if row.upload.status != UploadStatus.PENDING:
        raise UploadNotPending(row.upload.status)


def part_id_of(text: str) -> str:
    """The canonical id of a part. Raises :class:`~fileplane.errors.InvalidValue`."""
    canonical = parse_part_id(text)
    if canonical is None:
        raise InvalidValue(f"Invalid 'part_ids': '{text[:80]}' is no id of a part.", param="part_ids")
    return canonical


def not_told(target: RemoteTarget) -> UnsupportedProviderOperation:
    """The refusal to describe uploads of which nothing is recorded here."""
    return UnsupportedProviderOperation(
        f"{target.provider.name} tells nothing of uploads in parts, and with a credential of your own nothing of them is kept here. Use a "
        "virtual key to have them listed.",
        param="x-portkey-provider",
    )


def file_without_catalog(upload: Upload, provider_file_id: str) -> File:
    """What is known of a file that is in no catalog, since its upload was completed."""
    return File(
        project_id=upload.project_id,
        id=provider_file_id,
        purpose=upload.purpose,
        filename=upload.filename,
        bytes=upload.bytes,
        media_type=upload.media_type,
        sha256="",
        blob_key="",
        created_at=upload.created_at,
        expires_at=None,
        status=FileStatus.PROCESSED.value,
        status_details=None,
    )
