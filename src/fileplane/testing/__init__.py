"""Shipped for those who write a store of their own: the conformance suites that every implementation passes."""
