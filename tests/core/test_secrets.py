"""Secrets in memory and in their envelopes."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import pprint
import traceback
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.ids import uuid7
from fileplane.secrets.envelope import LONGEST_VALUE_BYTES, MasterKey, SealBroken, data_key_id_of, new_data_key, seal, unseal
from fileplane.secrets.values import Secret

CANARY = "sk-canary-1f2e3d4c5b6a"
DATA_KEY_ID = uuid7(1)
DATA_KEY = bytes(range(32))
MASTER = MasterKey(bytes(range(100, 132)))


def sealed(value: str = CANARY, owner: str = "owner", field: str = "api_key") -> str:
    return seal(DATA_KEY, DATA_KEY_ID, owner, field, Secret(value))


def test_a_secret_shows_itself_in_no_way_of_printing(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CANARY)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("any").warning("%s %r", secret, {"key": [secret]}, extra={"secret": secret})
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret, "{0}".format(secret)]  # noqa: UP031, UP030, UP032
    shown += [pprint.pformat({"a": secret}), repr([secret]), caplog.text, str(ValueError(secret)), repr(ValueError(secret))]
    try:
        raise ValueError(secret)  # noqa: TRY301 - its traceback is what is looked at
    except ValueError:
        shown.append(traceback.format_exc())
    assert all("***" in text for text in shown)
    assert not any(CANARY in text for text in shown)
    assert secret.reveal() == CANARY


def test_a_secret_is_not_serialised_by_accident() -> None:
    for serialise in (json.dumps, msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps):
        with pytest.raises(TypeError) as failure:
            serialise(Secret(CANARY))
        assert CANARY not in str(failure.value)
    assert not hasattr(Secret(CANARY), "__dict__")


def test_secrets_are_compared_by_value_and_hashed_by_nothing() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert copy.deepcopy(Secret("a")) == Secret("a")
    with pytest.raises(TypeError):
        hash(Secret("a"))


@given(st.text().filter(lambda text: text.isprintable()), st.text(min_size=1, max_size=50), st.text(max_size=50))
def test_what_is_sealed_opens_in_its_place_and_nowhere_else(value: str, field: str, owner: str) -> None:
    ciphertext = seal(DATA_KEY, DATA_KEY_ID, owner, field, Secret(value))
    assert unseal(DATA_KEY, owner, field, ciphertext) == Secret(value)
    places = {(owner + field, ""), ("", owner + field), (field, owner), (owner, field + "x")} - {(owner, field)}
    for other_owner, other_field in places:
        with pytest.raises(SealBroken):
            unseal(DATA_KEY, other_owner, other_field, ciphertext)


def test_ciphertexts_swapped_between_rows_or_fields_do_not_open() -> None:
    places = [("row 1", "api_key"), ("row 1", "token"), ("row 2", "api_key")]
    ciphertexts = {place: sealed(owner=place[0], field=place[1]) for place in places}
    for place in places:
        assert unseal(DATA_KEY, *place, ciphertexts[place]) == Secret(CANARY)
        for other, ciphertext in ciphertexts.items():
            if other != place:
                with pytest.raises(SealBroken):
                    unseal(DATA_KEY, *place, ciphertext)


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    raw = base64.b64decode(sealed())
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            unseal(DATA_KEY, "owner", "api_key", base64.b64encode(flipped).decode())


def test_a_ciphertext_cut_short_or_lengthened_anywhere_is_noticed() -> None:
    whole = sealed()
    raw = base64.b64decode(whole)
    changed = [whole[:length] for length in range(len(whole))]
    changed += [base64.b64encode(raw[:length]).decode() for length in range(len(raw))]
    changed += [base64.b64encode(raw + b"\x00").decode(), whole + "\n", whole + "=", " " + whole, whole + "AAAA", "é" + whole]
    for text in changed:
        with pytest.raises(SealBroken) as failure:
            unseal(DATA_KEY, "owner", "api_key", text)
        assert CANARY not in str(failure.value)


def test_a_character_of_the_base64_changed_to_an_equivalent_one_is_noticed() -> None:
    whole = next(text for size in range(3) if (text := sealed(CANARY + "x" * size)).endswith("=="))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    same = whole[:-3] + alphabet[alphabet.index(whole[-3]) + 1] + "=="
    assert base64.b64decode(same) == base64.b64decode(whole)
    with pytest.raises(SealBroken):
        unseal(DATA_KEY, "owner", "api_key", same)


def test_equal_secrets_have_different_ciphertexts_that_name_their_data_key() -> None:
    ciphertexts = [sealed() for _ in range(50)]
    assert len(set(ciphertexts)) == 50
    assert len({base64.b64decode(text)[17:29] for text in ciphertexts}) == 50
    assert {data_key_id_of(text) for text in ciphertexts} == {DATA_KEY_ID}


def test_a_value_that_is_too_long_or_no_text_is_refused_without_being_shown() -> None:
    assert unseal(DATA_KEY, "o", "f", seal(DATA_KEY, DATA_KEY_ID, "o", "f", Secret("x" * LONGEST_VALUE_BYTES))) == Secret(
        "x" * LONGEST_VALUE_BYTES
    )
    with pytest.raises(ValueError, match="at most"):
        seal(DATA_KEY, DATA_KEY_ID, "o", "f", Secret("x" * LONGEST_VALUE_BYTES + "y"))


def test_a_data_key_unwraps_by_its_master_key_and_under_its_id_alone() -> None:
    data_key = new_data_key()
    wrapped = MASTER.wrap(DATA_KEY_ID, data_key)
    assert data_key not in wrapped
    assert MASTER.unwrap(DATA_KEY_ID, wrapped) == data_key
    with pytest.raises(SealBroken, match="another master key"):
        MasterKey(bytes(range(1, 33))).unwrap(DATA_KEY_ID, wrapped)
    with pytest.raises(SealBroken):
        MASTER.unwrap(uuid7(2), wrapped)
    for bit in range(len(wrapped) * 8):
        flipped = bytearray(wrapped)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            MASTER.unwrap(DATA_KEY_ID, bytes(flipped))
    for length in range(len(wrapped)):
        with pytest.raises(SealBroken):
            MASTER.unwrap(DATA_KEY_ID, wrapped[:length])


def test_the_id_of_a_master_key_names_it_and_its_text_is_not_printed() -> None:
    keys = [MasterKey(bytes([number]) * 32) for number in range(5)]
    assert len({key.id for key in keys}) == 5
    assert MasterKey(bytes(32)).id == keys[0].id
    for key in keys:
        assert key.id in repr(key)
        assert key.text().reveal() not in repr(key)
        assert key.id not in base64.b64decode(key.text().reveal()).hex()
    assert all(one.text() != two.text() for one, two in pairwise(keys))
