import pytest
from pydantic import SecretBytes
from temporalio.api.common.v1 import Payload

from settings import EncryptionKey
from workflows.encryption import EncryptionCodec, UndecryptableError

OLD = EncryptionKey("old", SecretBytes(b"o" * 32))
NEW = EncryptionKey("new", SecretBytes(b"n" * 32))
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"title":"The invoice is wrong"}')


async def sealed(*keys: EncryptionKey) -> Payload:
    [payload] = await EncryptionCodec(keys).encode([PLAIN])
    return payload


async def opened(payload: Payload, *keys: EncryptionKey) -> Payload:
    [plain] = await EncryptionCodec(keys).decode([payload])
    return plain


async def test_nothing_of_a_payload_can_be_read_without_the_key() -> None:
    payload = await sealed(OLD)
    assert await opened(payload, OLD) == PLAIN
    for words in (b"title", b"invoice", b"json/plain"):
        assert words not in payload.SerializeToString()


async def test_equal_payloads_do_not_look_equal() -> None:
    assert (await sealed(OLD)).data != (await sealed(OLD)).data


async def test_first_key_encrypts_and_each_decrypts() -> None:
    before, after = await sealed(OLD), await sealed(NEW, OLD)
    assert after.metadata["encryption-key-id"] == b"new"
    assert await opened(before, NEW, OLD) == await opened(after, NEW, OLD) == PLAIN


async def test_without_keys_everything_stays_plain() -> None:
    assert await sealed() == PLAIN


async def test_what_was_never_encrypted_is_read_as_it_is() -> None:
    assert await opened(PLAIN, NEW) == PLAIN


@pytest.mark.parametrize(("keys", "held"), [((NEW,), "new"), ((), "none")])
async def test_missing_key_is_named(keys: tuple[EncryptionKey, ...], held: str) -> None:
    payload = await sealed(OLD)
    with pytest.raises(UndecryptableError, match=rf"key 'old', which .* does not hold \(it holds: {held}\)"):
        await opened(payload, *keys)


async def test_another_key_under_the_same_id_is_noticed() -> None:
    payload = await sealed(OLD)
    with pytest.raises(UndecryptableError, match=r"not encrypted with the key that .* calls 'old'"):
        await opened(payload, EncryptionKey("old", NEW.key))


@pytest.mark.parametrize("data", [b"", b"short", b"n" * 60])
async def test_what_is_no_ciphertext_is_refused(data: bytes) -> None:
    payload = await sealed(OLD)
    payload.data = data
    with pytest.raises(UndecryptableError, match="it was changed"):
        await opened(payload, OLD)


async def test_payload_cannot_be_passed_off_as_one_of_another_key() -> None:
    payload = await sealed(OLD)
    payload.metadata["encryption-key-id"] = b"new"
    with pytest.raises(UndecryptableError, match="calls 'new'"):
        await opened(payload, EncryptionKey("new", OLD.key))
