"""Where a request goes: the native store, or a provider."""
