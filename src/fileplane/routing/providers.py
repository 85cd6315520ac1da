"""The one table of the providers that requests can be routed to, and of the fields that a credential for each consists of.

A field has a name of ours, which is also the one in a config's JSON, the header that says the same for one request, and the names that
Portkey's virtual keys have for it. Headers, JSON, validation, encryption, redaction and documentation all follow from this table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fileplane.routing.output_prefixes import OUTPUT_PREFIXES

_PRINTABLE: Final = r"[\x21-\x7e]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
_BUCKET: Final = r"[a-z0-9](?:[a-z0-9._-]{1,61}[a-z0-9])"
_REGION: Final = r"[a-z]{2,}(?:-?[a-z0-9]+){0,5}"
_UUID: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One field of a credential. Without ``header``, it is for virtual keys alone.

    What is not ``secret`` is kept and shown in the clear, and is never a secret reference.
    """

    name: str
    header: str
    aliases: tuple[str, ...]
    secret: bool
    help: str
    pattern: re.Pattern[str] | None = None
    """What the whole value must match. Those of which a URL is made admit nothing that would change where it leads."""
    example: str = ""
    service_account: bool = False
    """Whether it is the JSON document of a Google service account."""
    several: bool = False
    """Whether it is a list: a JSON array, or its elements joined with commas, which is how it is kept."""


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider with its fields. A credential is complete when it has every field of one of ``ways``."""

    name: str
    title: str
    fields: Mapping[str, CredentialField]
    ways: tuple[tuple[str, ...], ...]
    needs_host: bool = False
    """Whether it has no host of its own, so that a credential for it must come with one."""


def _field(name: str, camel: str, help_text: str, pattern: str | None, example: str = "", *, secret: bool = False) -> CredentialField:
    header = f"x-portkey-{name.replace('_', '-')}"
    return CredentialField(name, header, (camel,), secret, help_text, None if pattern is None else re.compile(pattern), example)


def _secret(name: str, camel: str, help_text: str) -> CredentialField:
    return _field(name, camel, help_text, _PRINTABLE, secret=True)


_API_KEY: Final = CredentialField("api_key", "authorization", ("key", "apiKey"), True, "API key of the provider.", re.compile(_PRINTABLE))
_SERVICE_ACCOUNT: Final = CredentialField(
    "vertex_service_account_json",
    "x-portkey-vertex-service-account-json",
    ("vertexServiceAccountJson",),
    True,
    "JSON key of a Google service account, as an object or as text.",
    service_account=True,
)
_OPENAI: Final = (
    _field("openai_organization", "openaiOrganization", "Organisation that OpenAI bills.", _NAME, "org-abc123"),
    _field("openai_project", "openaiProject", "Project at OpenAI.", _NAME, "proj_abc123"),
)
_AZURE: Final = (
    _field("azure_resource_name", "resourceName", "Name of the Azure OpenAI resource, the first part of its host name.", _LABEL, "my-res"),
    _field("azure_deployment_id", "deploymentName", "Name of the deployment.", _NAME, "gpt-4o-batch"),
    _field("azure_api_version", "apiVersion", "Version of the API, or v1.", r"v1|preview|\d{4}-\d{2}-\d{2}(?:-preview)?", "2024-10-21"),
    _secret("azure_ad_token", "azureAdToken", "Token of Microsoft Entra ID, instead of an API key."),
    _field("azure_auth_mode", "azureAuthMode", "How to authenticate.", "default|entra|managed|workload", "entra"),
    _field("azure_entra_tenant_id", "azureEntraTenantId", "Tenant, with client credentials of Microsoft Entra ID.", _NAME, "contoso.com"),
    _field(
        "azure_entra_client_id", "azureEntraClientId", "Client id, with client credentials.", _UUID, "00000000-0000-0000-0000-000000000000"
    ),
    _secret("azure_entra_client_secret", "azureEntraClientSecret", "Client secret, with client credentials."),
    _field(
        "azure_entra_scope",
        "azureEntraScope",
        "Scope that a token is asked for.",
        r"https://[A-Za-z0-9.-]+/\.default",
        "https://cognitiveservices.azure.com/.default",
    ),
    _field("azure_managed_client_id", "azureManagedClientId", "Client id of a managed identity.", _UUID),
    _field("azure_workload_client_id", "azureWorkloadClientId", "Client id of a workload identity.", _UUID),
)
_OUTPUT_PREFIXES: Final = CredentialField(
    "output_prefixes",
    "",
    ("outputPrefixes",),
    False,
    "Prefixes of the bucket whose objects a project may read, such as the results of its batches: each ends with '/', and '=' and the "
    "project after it.",
    re.compile(OUTPUT_PREFIXES),
    "results/team-a/",
    several=True,
)
_AWS: Final = (
    _field("aws_auth_type", "awsAuthType", "How to authenticate.", "accessKey|assumedRole|machine", "assumedRole"),
    _secret("aws_access_key_id", "awsAccessKeyId", "Access key id."),
    _secret("aws_secret_access_key", "awsSecretAccessKey", "Secret access key."),
    _secret("aws_session_token", "awsSessionToken", "Session token of temporary keys."),
    _field("aws_region", "awsRegion", "Region.", r"[a-z]{2,4}(?:-[a-z]+){1,3}-\d{1,2}", "us-east-1"),
    _field(
        "aws_role_arn",
        "awsRoleArn",
        "Role to assume.",
        r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}",
        "arn:aws:iam::123456789012:role/files",
    ),
    _secret("aws_external_id", "awsExternalId", "External id that the role asks for."),
    _field("aws_s3_bucket", "awsS3Bucket", "Bucket of the files.", _BUCKET, "my-files"),
    _field("amz_server_side_encryption", "amzServerSideEncryption", "Encryption in the bucket.", r"AES256|aws:kms(?::dsse)?", "aws:kms"),
    _field(
        "amz_server_side_encryption_aws_kms_key_id",
        "amzServerSideEncryptionAwsKmsKeyId",
        "KMS key of that encryption.",
        r"[A-Za-z0-9:/_-]{1,2048}",
        "alias/files",
    ),
    _OUTPUT_PREFIXES,
)
_VERTEX: Final = (
    _field("vertex_project_id", "vertexProjectId", "Google Cloud project.", _NAME, "my-project"),
    _field("vertex_region", "vertexRegion", "Region.", _REGION, "us-central1"),
    _SERVICE_ACCOUNT,
    _field("vertex_auth_mode", "vertexAuthMode", "How to authenticate.", "default|machine", "machine"),
    _field("vertex_storage_bucket_name", "vertexStorageBucketName", "Bucket of the files.", _BUCKET, "my-files"),
    _OUTPUT_PREFIXES,
)
_ANTHROPIC: Final = (
    _field(
        "anthropic_version",
        "anthropicVersion",
        "Version of the API. Before 2026-10-21 the key is sent as x-api-key, from then on as a bearer token.",
        r"\d{4}-\d{2}-\d{2}",
        "2023-06-01",
    ),
    _field(
        "anthropic_beta",
        "anthropicBeta",
        "Features in beta to ask for, with commas between them.",
        r"[a-z0-9-]{1,100}(?:, ?[a-z0-9-]{1,100}){0,20}",
        "files-api-2025-04-14",
    ),
)
_GOOGLE: Final = (_field("google_api_version", "googleApiVersion", "Version of the API.", "v1(?:alpha|beta)?", "v1beta"),)


def _entry(
    name: str,
    title: str,
    *fields: CredentialField,
    ways: tuple[tuple[str, ...], ...] = (("api_key",),),
    key: bool = True,
    needs_host: bool = False,
) -> ProviderEntry:
    every = (_API_KEY, *fields) if key else fields
    return ProviderEntry(name, title, {field.name: field for field in every}, ways, needs_host)


_TABLE: Final = (
    _entry("openai", "OpenAI", *_OPENAI),
    _entry(
        "azure-openai",
        "Azure OpenAI",
        *_AZURE,
        ways=(
            ("azure_resource_name", "api_key"),
            ("azure_resource_name", "azure_ad_token"),
            ("azure_resource_name", "azure_entra_tenant_id", "azure_entra_client_id", "azure_entra_client_secret"),
            ("azure_resource_name", "azure_auth_mode=managed"),
            ("azure_resource_name", "azure_auth_mode=workload"),
        ),
    ),
    _entry("anthropic", "Anthropic", *_ANTHROPIC),
    _entry("google", "Google Gemini", *_GOOGLE),
    _entry("mistral-ai", "Mistral"),
    _entry("groq", "Groq"),
    _entry("together-ai", "Together"),
    _entry(
        "fireworks-ai",
        "Fireworks",
        _field("fireworks_account_id", "fireworksAccountId", "Account.", _LABEL, "my-account"),
        ways=(("api_key", "fireworks_account_id"),),
    ),
    _entry("cohere", "Cohere"),
    _entry("x-ai", "xAI"),
    _entry(
        "vertex-ai",
        "Google Vertex AI, with files in Cloud Storage",
        *_VERTEX,
        ways=(
            ("vertex_service_account_json", "vertex_region", "vertex_storage_bucket_name"),
            ("api_key", "vertex_project_id", "vertex_region", "vertex_storage_bucket_name"),
            ("vertex_auth_mode=machine", "vertex_region", "vertex_storage_bucket_name"),
        ),
    ),
    _entry(
        "bedrock",
        "AWS Bedrock, with files in S3",
        *_AWS,
        key=False,
        ways=(
            ("aws_access_key_id", "aws_secret_access_key", "aws_region", "aws_s3_bucket"),
            ("aws_role_arn", "aws_region", "aws_s3_bucket"),
            ("aws_auth_type=machine", "aws_region", "aws_s3_bucket"),
        ),
    ),
    _entry("databricks", "Databricks", needs_host=True),
    _entry("cerebras", "Cerebras"),
    _entry("deepinfra", "DeepInfra"),
    _entry("nebius", "Nebius Token Factory"),
    _entry("moonshot", "Moonshot"),
    _entry("dashscope", "DashScope"),
    _entry("zhipu", "Zhipu"),
    _entry("z-ai", "Z.ai"),
    _entry("siliconflow", "SiliconFlow"),
    _entry("perplexity-ai", "Perplexity"),
    _entry("openrouter", "OpenRouter"),
    _entry("voyage", "Voyage"),
    _entry("novita-ai", "Novita"),
)

PROVIDERS: Final[Mapping[str, ProviderEntry]] = {entry.name: entry for entry in _TABLE}
"""Every provider by the name that ``x-portkey-provider`` has for it."""

PROVIDER_ALIASES: Final[Mapping[str, str]] = {
    "open-ai": "openai",
    "azure": "azure-openai",
    "gemini": "google",
    "mistral": "mistral-ai",
    "together": "together-ai",
    "fireworks": "fireworks-ai",
    "xai": "x-ai",
    "vertex": "vertex-ai",
    "aws-bedrock": "bedrock",
    "perplexity": "perplexity-ai",
    "kimi": "moonshot",
    "novita": "novita-ai",
}
"""What callers write by mistake, and what they mean; suggested, never accepted in silence."""
