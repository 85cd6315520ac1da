"""Routing configs: JSON documents in Portkey's schema that say where a request goes.

A document is parsed into a :class:`~fileplane.routing.config_values.Config`, what it refers to is checked by
:mod:`fileplane.routing.config_references`, and :mod:`fileplane.routing.plans` makes the plan for one request of it. All of it is pure:
what must be looked up is passed in, and so is chance.
"""

from __future__ import annotations

from fileplane.routing.config_json import decode_document
from fileplane.routing.config_problems import Problem
from fileplane.routing.config_reader import Notes, ObjectReader
from fileplane.routing.config_references import Directory, check_references
from fileplane.routing.config_rules import check_rules
from fileplane.routing.config_targets import read_target
from fileplane.routing.config_values import Config
from fileplane.routing.slugs import parse_config_slug


def parse_config(document: object, *, directory: Directory | None = None, own_slug: str | None = None) -> Config:
    """The config of a document: its text, its UTF-8 bytes, or the values decoded from it.

    With a ``directory``, also what it refers to is checked. Raises :class:`~fileplane.errors.InvalidValue`, and nothing else, whose
    message tells of the first 20 problems and never repeats a value, and whose ``param`` is the path of the first one.
    """
    config, notes = _read(document)
    notes.problems.refuse_if_any()
    if directory is not None:
        check_references(config, directory, own_slug=own_slug)
    return config


def find_problems(document: object) -> tuple[Problem, ...]:
    """The first 20 problems that lie in the document itself, for showing each beside its field.

    Raises :class:`~fileplane.errors.InvalidValue` for what is no JSON object or too large to be looked at.
    """
    return tuple(_read(document)[1].problems.found)


def slug_or_config(text: str) -> str | Config:
    """What a header such as ``x-portkey-config`` says: a config's slug, or a config itself; raises as :func:`parse_config` does."""
    plain = text.strip()
    return parse_config_slug(plain) or parse_config(plain)


def _read(document: object) -> tuple[Config, Notes]:
    notes = Notes()
    root = read_target(ObjectReader(decode_document(document), "", notes))
    if not notes.problems.found:
        # A field that could not be read counts as absent, so these would find what is not so.
        check_rules(root, notes.problems)
    return Config(root, tuple(notes.ignored)), notes
