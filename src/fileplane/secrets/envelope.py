"""AES-256-GCM in two layers: data keys encrypt fields, and the master key encrypts ("wraps") data keys.

A sealed field, in base64::

    version (1 byte) · data key id (16) · nonce (12) · ciphertext and tag

A wrapped data key::

    version (1 byte) · nonce (12) · ciphertext and tag

What a text is the ciphertext *of* is authenticated with it: version, data key, owner and field name, or version, data key and master
key. So a ciphertext that is moved to another row, field or key does not open, no more than one that was changed in any bit.
Nonces are random, 96 bits; a data key is used for at most :data:`MOST_USES` values, far fewer than would make two nonces alike.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import uuid
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileplane.secrets.values import REDACTED, Secret

KEY_BYTES: Final = 32
MOST_USES: Final = 1 << 20
LONGEST_VALUE_BYTES: Final = 64 * 1024
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_ID_BYTES: Final = 16
_HEAD_BYTES: Final = 1 + _ID_BYTES


class SealBroken(Exception):
    """A ciphertext does not open: it is damaged, truncated, moved from elsewhere, or of another key. Says nothing of its content."""


class MasterKey:
    """The 32 bytes that everything hangs on. ``id`` names the key, in the database too, and tells nothing of it."""

    __slots__ = ("_key", "_wrapping", "id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"A master key has {KEY_BYTES} bytes.")
        self._key = key
        self._wrapping = AESGCM(_derived(key, b"wrap data keys"))
        self.id = _derived(key, b"key check value")[:16].hex()

    def __repr__(self) -> str:
        return f"MasterKey({self.id}, {REDACTED})"

    def text(self) -> Secret:
        """The key as it is kept in a file: base64."""
        return Secret(base64.b64encode(self._key).decode("ascii"))

    def wrap(self, data_key_id: str, data_key: bytes) -> bytes:
        """A data key, encrypted."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._wrapping.encrypt(nonce, data_key, self._associated(data_key_id))

    def unwrap(self, data_key_id: str, wrapped: bytes) -> bytes:
        """The data key. Raises :class:`SealBroken`."""
        if len(wrapped) != 1 + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES or wrapped[:1] != _VERSION:
            raise SealBroken(f"Data key {data_key_id} is not what a wrapped key looks like.")
        nonce, ciphertext = wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
        try:
            return self._wrapping.decrypt(nonce, ciphertext, self._associated(data_key_id))
        except InvalidTag:
            raise SealBroken(f"Data key {data_key_id} is damaged, or wrapped by another master key.") from None

    def _associated(self, data_key_id: str) -> bytes:
        return _joined("fileplane data key 1", data_key_id, self.id)


def new_data_key() -> bytes:
    """A random data key."""
    return os.urandom(KEY_BYTES)


def seal(data_key: bytes, data_key_id: str, owner_id: str, field: str, value: Secret) -> str:
    """The base64 ciphertext of a field of ``owner_id``. Raises ValueError for a value that is too long or no text."""
    plain = value.reveal().encode("utf-8")
    if len(plain) > LONGEST_VALUE_BYTES:
        raise ValueError(f"A secret has at most {LONGEST_VALUE_BYTES} bytes.")
    nonce = os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(data_key).encrypt(nonce, plain, _joined("fileplane field 1", data_key_id, owner_id, field))
    return base64.b64encode(_VERSION + uuid.UUID(data_key_id).bytes + nonce + ciphertext).decode("ascii")


def data_key_id_of(sealed: str) -> str:
    """Which data key opens this. Raises :class:`SealBroken`."""
    return str(uuid.UUID(bytes=_decoded(sealed)[1:_HEAD_BYTES]))


def unseal(data_key: bytes, owner_id: str, field: str, sealed: str) -> Secret:
    """The field's value. Raises :class:`SealBroken`."""
    raw = _decoded(sealed)
    nonce, ciphertext = raw[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES], raw[_HEAD_BYTES + _NONCE_BYTES :]
    try:
        plain = AESGCM(data_key).decrypt(nonce, ciphertext, _joined("fileplane field 1", data_key_id_of(sealed), owner_id, field))
    except InvalidTag:
        raise SealBroken(f"The field {field} of {owner_id} is damaged, or was encrypted for another place.") from None
    return Secret(plain.decode("utf-8"))


def _decoded(sealed: str) -> bytes:
    try:
        raw = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        raise SealBroken("A ciphertext is not base64.") from None
    # Bits that base64 leaves over at the end could be changed unnoticed.
    if base64.b64encode(raw).decode("ascii") != sealed or len(raw) < _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES or raw[:1] != _VERSION:
        raise SealBroken("A ciphertext is truncated, or of a version that this Fileplane does not know.")
    return raw


def _derived(key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose alone (HKDF-Expand of RFC 5869, one block): what one shows says nothing of the others."""
    return hmac.new(key, b"fileplane " + purpose + b"\x01", hashlib.sha256).digest()


def _joined(*parts: str) -> bytes:
    """The parts with their lengths, so that no two different lists come to the same bytes."""
    encoded = [part.encode("utf-8") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
