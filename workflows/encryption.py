"""Encryption of all that Temporal stores of a ticket, in the process that knows the keys."""

import os
from collections.abc import Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from settings import EncryptionKey
from workflows.payloads import data_converter

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
_NONCE_BYTES = 12


class UndecryptableError(Exception):
    """A payload was encrypted with a key that is not in the settings, or it was changed since."""


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM over whole payloads. The first key encrypts, every key decrypts.

    Payloads that are not encrypted pass through, so that a history begun without a key goes on with one; without keys
    everything does, and what is encrypted is refused with words that say which key is missing.
    """

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        self._ciphers = {each.id: AESGCM(each.key.get_secret_value()) for each in keys}
        self._first = next(iter(self._ciphers), None)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if self._first is None:
            return list(payloads)
        return [self._encrypt(payload, self._first) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload, key_id: str) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)  # noqa: TID251 - a codec works on payloads, outside of workflows
        name = key_id.encode()
        # The key's id is authenticated, too: nobody can pass a payload off as one of another key.
        sealed = self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), name)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: name}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get(KEY_ID, b"")
        key_id = name.decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(self._ciphers) or "none"
            raise UndecryptableError(
                f"This was encrypted with the key {key_id!r}, which BATON_ENCRYPTION_KEYS does not hold "
                f"(it holds: {known}). Put it back, behind the key that encrypts now."
            )
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, name))
        except (InvalidTag, ValueError, DecodeError):
            raise UndecryptableError(
                f"This was not encrypted with the key that BATON_ENCRYPTION_KEYS calls {key_id!r}, or it was changed."
            ) from None


def encrypted_data_converter(keys: Sequence[EncryptionKey]) -> DataConverter:
    """What every client and worker converts with: pydantic's JSON, encrypted where there are keys.

    The words and stack traces of failures then travel as payloads as well; without a key they stay readable.
    """
    converter = replace(data_converter, payload_codec=EncryptionCodec(keys))
    if not keys:
        return converter
    return replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
