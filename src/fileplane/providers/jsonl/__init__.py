"""Files of JSON lines, made into what Bedrock and Vertex AI read, and what they answer made into OpenAI's form again.

Everything here is pure: bytes come in as they arrive, in pieces of any size, and go out in pieces of at least a few KiB. No more is held
than one line and one piece. :mod:`~fileplane.providers.jsonl.bedrock` and :mod:`~fileplane.providers.jsonl.vertex` are what adapters
call; what is carried over and what is refused stands in docs/transforms.md.
"""
