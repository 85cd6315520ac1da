"""Which form a model's requests have, by the model's id."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from fileplane.errors import InvalidValue


class Family(StrEnum):
    """Models whose requests have one form."""

    CLAUDE = "Anthropic Claude"
    LLAMA_3 = "Meta Llama 3"
    LLAMA_4 = "Meta Llama 4"
    NOVA = "Amazon Nova"
    MISTRAL_PROMPT = "Mistral by prompt"
    MISTRAL_CHAT = "Mistral"
    TITAN_TEXT = "Amazon Titan Text"
    TITAN_EMBEDDINGS_1 = "Amazon Titan Embeddings G1"
    TITAN_EMBEDDINGS_2 = "Amazon Titan Text Embeddings V2"
    GEMINI = "Google Gemini"


_BEDROCK: Final = (
    (r"anthropic\.claude-", Family.CLAUDE),
    (r"meta\.llama3-", Family.LLAMA_3),
    (r"meta\.llama4-", Family.LLAMA_4),
    (r"amazon\.nova-(?!canvas|reel|sonic|2-sonic|2-multimodal)", Family.NOVA),
    (r"mistral\.(?:mistral-7b|mixtral-8x7b|mistral-small-2402)", Family.MISTRAL_PROMPT),
    (r"mistral\.(?!voxtral)", Family.MISTRAL_CHAT),
    (r"amazon\.titan-embed-text-v2|amazon\.titan-embed-text-v\d+:2", Family.TITAN_EMBEDDINGS_2),
    (r"amazon\.titan-embed-(?:text|g1-text)", Family.TITAN_EMBEDDINGS_1),
    (r"amazon\.titan-text-", Family.TITAN_TEXT),
)
"""Ids as Bedrock has them, wherever they stand in what is given.

Inference profiles put ``us.``, ``eu.``, ``apac.`` or ``global.`` before them, and ARNs of foundation models, of inference profiles and of
custom models put a path before them (docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html).
"""

_VERTEX: Final = (
    (r"gemini-(?!embedding)", Family.GEMINI),
    (r"claude-", Family.CLAUDE),
)
"""Ids as Vertex AI has them: ``gemini-2.5-flash``, ``publishers/anthropic/models/claude-sonnet-4-5@20250929``."""

BEDROCK_FAMILIES: Final = "Anthropic Claude, Meta Llama 3 and 4, Amazon Nova, Mistral, and Amazon Titan text embeddings"
VERTEX_FAMILIES: Final = "Google Gemini and Anthropic Claude"


def bedrock_family(model: str) -> Family:
    """The family of a model on Bedrock. Raises :class:`~fileplane.errors.InvalidValue`, naming those that there are."""
    return _family(model, _BEDROCK, "Bedrock", BEDROCK_FAMILIES)


def vertex_family(model: str) -> Family:
    """The family of a model on Vertex AI. Raises :class:`~fileplane.errors.InvalidValue`, naming those that there are."""
    return _family(model, _VERTEX, "Vertex AI", VERTEX_FAMILIES)


def _family(model: str, families: tuple[tuple[str, Family], ...], where: str, known: str) -> Family:
    for pattern, family in families:
        if re.search(rf"(?:^|[./]){pattern}", model, re.ASCII):
            return family
    raise InvalidValue(
        f"The model '{model}' is of no family whose lines are known for {where}: {known}. "
        "Files that are in the provider's own form can be sent with the header 'x-portkey-file-purpose: upload'.",
        param="model",
    )
