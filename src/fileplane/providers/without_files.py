"""The names that Portkey's gateway accepts, as of its version 1.15.2, at which Fileplane knows no API for files that it could call.

Clients and configs of Portkey may name any of them. The refusal is then honest, and nothing is ever sent there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WITHOUT_FILES: Final[Mapping[str, str]] = {
    "302ai": "302.AI",
    "ai21": "AI21",
    "aibadgr": "AI Badgr",
    "anyscale": "Anyscale",
    "azure-ai": "Azure AI Foundry",
    "bytez": "Bytez",
    "cometapi": "CometAPI",
    "cortex": "Snowflake Cortex",
    "deepbricks": "Deepbricks",
    "deepseek": "DeepSeek",
    "featherless-ai": "Featherless",
    "github": "GitHub Models",
    "huggingface": "Hugging Face",
    "hyperbolic": "Hyperbolic",
    "inference-net": "Inference.net",
    "iointelligence": "IO Intelligence",
    "jina": "Jina",
    "kluster-ai": "kluster.ai",
    "krutrim": "Krutrim",
    "lambda": "Lambda",
    "lemonfox-ai": "Lemonfox",
    "lepton": "Lepton",
    "lingyi": "Lingyi",
    "matterai": "MatterAI",
    "meshy": "Meshy",
    "milvus": "Milvus",
    "modal": "Modal",
    "monsterapi": "MonsterAPI",
    "ncompass": "nCompass",
    "nextbit": "Nextbit",
    "nomic": "Nomic",
    "nscale": "Nscale",
    "ollama": "Ollama",
    "oracle": "Oracle Cloud",
    "ovhcloud": "OVHcloud",
    "palm": "Google PaLM",
    "portkey": "Portkey",
    "predibase": "Predibase",
    "qdrant": "Qdrant",
    "recraft-ai": "Recraft",
    "reka-ai": "Reka",
    "replicate": "Replicate",
    "sagemaker": "Amazon SageMaker",
    "sambanova": "SambaNova",
    "segmind": "Segmind",
    "stability-ai": "Stability AI",
    "tripo3d": "Tripo",
    "triton": "Triton",
    "upstage": "Upstage",
    "workers-ai": "Cloudflare Workers AI",
}
"""With their titles."""
