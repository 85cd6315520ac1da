"""Fileplane: one self-hosted ``/v1/files`` for AI work."""

__version__ = "0.1.0"
