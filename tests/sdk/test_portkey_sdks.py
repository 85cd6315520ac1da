"""What only Portkey's clients do. All of them send nothing but an API key, and a placeholder where a provider's key would be."""

from __future__ import annotations

from sdk.processes import Outcome
from support.expect import assert_file_object


def test_a_list_is_one_page_that_says_whether_there_is_more(portkey_outcome: Outcome, listed_ids: list[str]) -> None:
    first, second = portkey_outcome.value("first page"), portkey_outcome.value("second page")
    assert [file["id"] for file in first["data"]] == listed_ids[:20]
    assert [file["id"] for file in second["data"]] == listed_ids[20:]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert (first["first_id"], first["last_id"], first["total"]) == (listed_ids[0], listed_ids[19], len(listed_ids))
    for file in first["data"]:
        assert_file_object(file, purpose="user_data", bytes=1)


def test_openais_client_works_with_the_headers_that_portkey_makes(portkey_outcome: Outcome, listed_ids: list[str]) -> None:
    assert portkey_outcome.value("portkey headers on openai") == listed_ids
