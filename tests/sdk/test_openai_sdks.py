"""What only OpenAI's own clients do."""

from __future__ import annotations

from collections.abc import Callable

from sdk.processes import Outcome, assert_refused, too_large

Statuses = Callable[[str], list[int]]


def test_paging_one_by_one_yields_every_file_once_in_order(openai_outcome: Outcome, listed_ids: list[str], statuses_of: Statuses) -> None:
    assert openai_outcome.value("pages-ascending") == listed_ids
    assert openai_outcome.value("pages-by-default") == listed_ids[::-1]
    for step in ("pages-ascending", "pages-by-default"):
        assert statuses_of(openai_outcome.request_id(step)) == [200] * len(listed_ids)


def test_the_last_page_may_be_shorter(openai_outcome: Outcome, listed_ids: list[str], statuses_of: Statuses) -> None:
    assert openai_outcome.value("pages-of-ten") == listed_ids[::-1]
    assert statuses_of(openai_outcome.request_id("pages-of-ten")) == [200] * 3


def test_an_answer_carries_the_request_id_that_the_client_chose(openai_outcome: Outcome) -> None:
    assert openai_outcome.value("request-id") == openai_outcome.request_id("request-id")


def test_a_refusal_reaches_a_client_that_sends_all_of_two_hundred_megabytes_before_it_listens(
    openai_outcome: Outcome, statuses_of: Statuses
) -> None:
    assert_refused(openai_outcome, "far-too-large", too_large(openai_outcome))
    assert statuses_of(openai_outcome.request_id("far-too-large")) == [413]
