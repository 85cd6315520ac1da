"""The use cases of the control plane: what callers may do with projects, API keys, virtual keys and configs."""
