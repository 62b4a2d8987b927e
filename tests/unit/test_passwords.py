from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from api.passwords import Passwords


async def test_hash_is_made_as_rfc_9106_recommends_and_is_not_the_password() -> None:
    passwords = Passwords()
    kept = await passwords.hash("seven green umbrellas")
    assert extract_parameters(kept) == RFC_9106_LOW_MEMORY
    assert "umbrellas" not in kept
    assert await passwords.matches("seven green umbrellas", kept)
    assert not await passwords.matches("seven red umbrellas", kept)
    assert not await passwords.matches("seven green umbrellas", None)
    assert not passwords.is_outdated(kept)
