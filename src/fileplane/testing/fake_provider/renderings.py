"""How each provider writes a file, a deletion and an error: what its flavour consists of beside plain values."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import GENERATED, KeptFile

_PENDING_LOOKS: Final = 2


def openai(file: KeptFile) -> dict[str, Any]:
    """OpenAI's File object."""
    value = {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
    return value if file.expires_at is None else {**value, "expires_at": file.expires_at}


def without_status(file: KeptFile) -> dict[str, Any]:
    """OpenAI's, of providers that tell no status."""
    return {name: value for name, value in openai(file).items() if not name.startswith("status")}


def azure(file: KeptFile) -> dict[str, Any]:
    """Azure OpenAI's File object."""
    file.seen += 1
    status = "pending" if file.seen < _PENDING_LOOKS else "processed"
    return {**openai(file), "status": status, "updated_at": file.created_at, "status_details": ""}


def mistral(file: KeptFile) -> dict[str, Any]:
    """Mistral's File object."""
    return {
        **without_status(file),
        "sample_type": "batch_request",
        "source": "upload",
        "num_lines": None,
        "mimetype": file.media_type,
        "signature": None,
        "expires_at": None,
        "visibility": "workspace",
        "deleted": False,
    }


def xai(file: KeptFile) -> dict[str, Any]:
    """The File object of xAI."""
    return {**without_status(file), "purpose": "", "expires_at": file.expires_at}


def moonshot(file: KeptFile) -> dict[str, Any]:
    """Moonshot's File object."""
    return {**openai(file), "status": "ok", "status_details": ""}


def siliconflow(file: KeptFile) -> dict[str, Any]:
    """SiliconFlow's File object."""
    value = without_status(file)
    return {**{name: value[name] for name in ("id", "object", "bytes", "filename", "purpose")}, "createdAt": file.created_at}


def voyage(file: KeptFile) -> dict[str, Any]:
    """Voyage's File object."""
    expires_at = None if file.expires_at is None else rfc3339(file.expires_at)
    return {**without_status(file), "created_at": rfc3339(file.created_at), "expires_at": expires_at}


def openrouter(file: KeptFile) -> dict[str, Any]:
    """OpenRouter's File object."""
    return {
        "id": file.id,
        "type": "file",
        "filename": file.filename,
        "mime_type": file.media_type,
        "size_bytes": file.size,
        "created_at": rfc3339(file.created_at),
        "downloadable": False,
    }


def together(file: KeptFile) -> dict[str, Any]:
    """Together's File object."""
    file.seen += 1
    looked_at = {"fine-tune": "PENDING" if file.seen < _PENDING_LOOKS else "COMPLETED"}.get(file.purpose)
    ending = file.filename.rpartition(".")[2]
    return {
        **without_status(file),
        "FileType": ending if ending in {"csv", "parquet"} else "jsonl",
        "Processed": looked_at != "PENDING",
        "LineCount": 0,
        **({} if looked_at is None else {"processing_status": looked_at}),
    }


def anthropic(file: KeptFile) -> dict[str, Any]:
    """Anthropic's."""
    return {
        "id": file.id,
        "type": "file",
        "filename": file.filename,
        "mime_type": file.media_type,
        "size_bytes": file.size,
        "created_at": rfc3339(file.created_at),
        "downloadable": file.purpose == GENERATED,
        "expires_at": None if file.expires_at is None else rfc3339(file.expires_at),
    }


def gemini(file: KeptFile) -> dict[str, Any]:
    """Gemini's, whose files take a while."""
    file.seen += 1
    name, generated = f"files/{file.id}", file.purpose == GENERATED
    origin = "https://generativelanguage.googleapis.com/v1"
    made, expires = (None if at is None else rfc3339(at)[:-1] + ".123456789Z" for at in (file.created_at, file.expires_at))
    value = {
        "name": name,
        "displayName": file.filename,
        "mimeType": file.media_type,
        "sizeBytes": str(file.size),
        "createTime": made,
        "updateTime": made,
        "expirationTime": expires,
        "sha256Hash": b64encode(_sha256(file.path)).decode(),
        "uri": f"{origin}/{name}",
        "downloadUri": f"{origin}/{name}:download?alt=media" if generated else None,
        "state": "PROCESSING" if file.seen < _PENDING_LOOKS and not generated else "ACTIVE",
        "source": "GENERATED" if generated else "UPLOADED",
    }
    return {member: said for member, said in value.items() if said is not None}


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def storage_error(status: int, message: str, code: str | None, _param: str | None) -> dict[str, Any]:
    """Cloud Storage's error."""
    reason = code or {401: "authError", 403: "forbidden", 404: "notFound"}.get(status, "invalid")
    return {"error": {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}}


def rfc3339(seconds: int) -> str:
    """A time as providers write it that do not count seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def deleted(file_id: str) -> Any:
    """OpenAI's answer to a deletion."""
    return {"id": file_id, "object": "file", "deleted": True}


def openai_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """OpenAI's error."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def azure_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001 - as every error
    """Azure OpenAI's error."""
    return {"error": {"code": code or {404: "notFound", 401: "unauthorized"}.get(status, "invalidPayload"), "message": message}}


def anthropic_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001 - as every error
    """Anthropic's error."""
    kinds = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
    }
    error = {"type": kinds.get(status, "api_error" if status >= 500 else "invalid_request_error"), "message": message}
    return {"type": "error", "error": {**error, "details": {"error_code": code}} if code else error, "request_id": "req_011CQFYcrRp7mCHL"}


def google_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001 - as every error
    """Gemini's error."""
    words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}
    return {"error": {"code": status, "message": message, "status": code or words.get(status, "INTERNAL")}}


def mistral_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """Mistral's error."""
    return {"object": "error", "message": message, "type": "invalid_request_error", "param": param, "code": code or str(status)}


def siliconflow_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001 - as every error
    """SiliconFlow's error."""
    return message if status == 401 else {"code": 20_012, "message": message, "data": None}


def grpc_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001 - as every error
    """The error of gRPC."""
    return {"code": {401: 16, 403: 7, 404: 5, 409: 6, 429: 8}.get(status, 3), "message": message, "details": []}
