"""What the help of every command says after its options: examples, environment, files, exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fileplane.cli.exits import EXIT_CODE_HELP

KEPT_TOGETHER: Final = "\b\n"
"""Before a paragraph whose lines the formatter is to leave as they are."""

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("fileplane serve", "fileplane upload data/ --purpose user_data", "fileplane help cp"),
    "serve": ("fileplane serve", "fileplane serve --host 0.0.0.0 --port 8443 --tls-cert cert.pem --tls-key key.pem"),
    "settings": ("fileplane settings", "fileplane settings --json"),
    "check": ("fileplane check", "fileplane check --read-data", "fileplane check --read-data=5% --json"),
    "doctor": ("FILEPLANE_BLOB_STORE=s3://files fileplane doctor",),
    "gc": ("fileplane gc --dry-run", "fileplane gc --wait 60"),
    "backup": ("fileplane backup /mnt/backup", "fileplane backup /mnt/backup --keep 30 --verify"),
    "restore": ("fileplane restore /mnt/backup --data-dir /var/lib/fileplane",),
    "migrate-store": (
        "fileplane migrate-store --to-config new.toml",
        "fileplane migrate-store --to-config new.toml --yes",
        "fileplane migrate-store --undo --yes",
    ),
    "audit": ("fileplane audit --since 24h", "fileplane audit --project team-a --action delete --json"),
    "usage": ("fileplane usage", "fileplane usage --project team-a --days 7"),
    "upload": (
        "fileplane upload train.jsonl --purpose fine-tune",
        "fileplane upload data/ --include '*.jsonl' --exclude 'draft*' --purpose batch",
        "fileplane upload 'data/**/*.jsonl' --purpose batch --expires-in 30d",
        "fileplane upload dataset.bin --purpose user_data --connections 8 --part-size 32MiB",
        "pg_dump shop | fileplane upload - --filename shop.sql --purpose user_data",
    ),
    "ls": ("fileplane ls --purpose batch", "fileplane ls --all --json", "fileplane ls --deleted"),
    "get": (
        "fileplane get FILE_ID",
        "fileplane get FILE_ID FILE_ID --output results/",
        "fileplane get FILE_ID --output - | wc -l",
        "fileplane get FILE_ID --range 0-1023 --output head.bin",
    ),
    "cat": ("fileplane cat FILE_ID | head", "fileplane cat FILE_ID > copy"),
    "cp": (
        "fileplane cp @openai-prod:file-abc123 fileplane:",
        "fileplane cp fileplane:FILE_ID @azure-eu: --purpose batch",
        "fileplane cp openai:file-abc123 results.jsonl",
        "fileplane cp train.jsonl anthropic: --purpose user_data",
        "fileplane cp @openai-prod:file-abc123 - | gzip > results.jsonl.gz",
    ),
    "rm": ("fileplane rm FILE_ID FILE_ID", "fileplane rm --purge FILE_ID"),
    "undelete": ("fileplane undelete FILE_ID",),
    "completion": ('eval "$(fileplane completion bash)"', "fileplane completion fish | source", "fileplane --install-completion"),
    "help": ("fileplane help cp", "fileplane help key create", "fileplane help --man upload | man -l -"),
    "project create": ("fileplane project create team-a", 'fileplane project create team-b --storage "100 GiB" --files 10000'),
    "project list": ("fileplane project list",),
    "project show": ("fileplane project show team-a --json",),
    "project update": ('fileplane project update team-a --display-name "Team A" --storage "1 TiB"',),
    "project delete": ("fileplane project delete team-a", "fileplane project delete team-a --force"),
    "key create": (
        "fileplane key create --name ci --project team-a --expires-in 90d",
        "fileplane key create --name uploader --scope files.read --scope files.write",
    ),
    "key list": ("fileplane key list --project team-a",),
    "key show": ("fileplane key show KEY_ID",),
    "key update": ("fileplane key update KEY_ID --expires-in 30d",),
    "key rotate": ("fileplane key rotate KEY_ID --overlap 24h",),
    "key revoke": ("fileplane key revoke KEY_ID",),
    "secrets rotate": ("fileplane secrets rotate --master-key-file new.key",),
    "secrets forget": ("fileplane secrets forget --yes",),
    "virtual-key create": (
        "fileplane virtual-key create --name openai-prod --provider openai --secret-prompt api_key",
        "fileplane virtual-key create --name mistral --provider mistral-ai --secret-file api_key=mistral.key --project team-a",
    ),
    "virtual-key list": ("fileplane virtual-key list",),
    "virtual-key show": ("fileplane virtual-key show openai-prod",),
    "virtual-key update": ("fileplane virtual-key update openai-prod --secret-prompt api_key",),
    "virtual-key delete": ("fileplane virtual-key delete openai-prod",),
    "config create": ("fileplane config create route.json --name production", "fileplane config create - --name production < route.json"),
    "config list": ("fileplane config list",),
    "config show": ("fileplane config show pc-production",),
    "config versions": ("fileplane config versions pc-production",),
    "config update": ("fileplane config update pc-production route.json",),
    "config delete": ("fileplane config delete pc-production",),
    "catalog ls": ("fileplane catalog ls --state unresolved", "fileplane catalog ls --project team-a --all --json"),
    "catalog adopt": ("fileplane catalog adopt --project team-a --virtual-key openai-prod file-abc123 --yes",),
    "catalog rm": (
        "fileplane catalog rm --project team-a --virtual-key openai-prod file-abc123 --yes",
        "fileplane catalog rm --project team-a --virtual-key openai-prod --all --forget --yes",
    ),
    "catalog reconcile": ("fileplane catalog reconcile --wait 60",),
}
"""Of every command that does something, by its name: lines for a shell."""

CLIENT_COMMANDS: Final = frozenset({"upload", "ls", "get", "cat", "cp", "rm", "undelete"})
_NOTHING_OF_ITS_OWN: Final = frozenset({"", "help", "completion"})

_CLIENT_ENVIRONMENT: Final = (
    "FILEPLANE_BASE_URL and FILEPLANE_API_KEY say which server and with which key; without either, OPENAI_BASE_URL and OPENAI_API_KEY do. "
    "FILEPLANE_CONFIG names a file with settings. HTTP_PROXY, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are honoured. TERM=dumb and NO_COLOR "
    "keep progress and colours away."
)
_SERVER_ENVIRONMENT: Final = (
    "FILEPLANE_DATA_DIR and FILEPLANE_CONFIG say where the data and the settings are; every other setting has a variable too, and "
    "`fileplane settings` shows where its value comes from."
)
_ENVIRONMENT: Final = {
    "cp": f"{_CLIENT_ENVIRONMENT} The key of a provider is read from the variable that its own tools use, such as OPENAI_API_KEY or "
    "ANTHROPIC_API_KEY, and further fields from their names, such as AWS_REGION; beside them, FILEPLANE_API_KEY has to be set.",
    "completion": "SHELL names the shell. XDG_DATA_HOME and XDG_CONFIG_HOME say where --install-completion writes.",
}
_FILES: Final = {
    "serve": "The data directory: fileplane.db, the blobs, the master key.",
    "upload": "While a file of 64 MiB or more is on its way, what is needed to go on with it is in $XDG_CACHE_HOME/fileplane, or "
    "~/.cache/fileplane (~/Library/Caches/fileplane on macOS).",
    "get": ".fileplane-*.partial beside the file that is being fetched; gone when it is whole.",
    "cp": ".fileplane-*.partial beside a file that is being fetched; gone when the command ends.",
    "backup": "DIR: the blobs, and a snapshot of the database for each backup.",
    "restore": "The data directory.",
    "completion": "With --install-completion: bash-completion/completions/fileplane or zsh/site-functions/_fileplane in $XDG_DATA_HOME "
    "(~/.local/share), or fish/completions/fileplane.fish in $XDG_CONFIG_HOME (~/.config). Nothing else is changed.",
}


def epilogue(name: str) -> str:
    """What follows the options in the help of a command, such as ``key create``; the command ``fileplane`` itself is ````."""
    return "\n\n".join((*own_epilogue(name), *_shared(name)))


def own_epilogue(name: str) -> list[str]:
    """Of that, the paragraphs that other commands do not have as well: examples and files."""
    parts = []
    if name in EXAMPLES:
        parts.append(f"{KEPT_TOGETHER}EXAMPLES:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name]))
    if name in _FILES:
        parts += [f"FILES: {_FILES[name]}"]
    return parts


def _shared(name: str) -> list[str]:
    parts = []
    environment = _ENVIRONMENT.get(name)
    if environment is None and name not in _NOTHING_OF_ITS_OWN:
        environment = _CLIENT_ENVIRONMENT if name in CLIENT_COMMANDS else _SERVER_ENVIRONMENT
    if environment is not None:
        parts.append(f"ENVIRONMENT: {environment}")
    codes = "\n".join(f"  {int(code):<4} {meaning}" for code, meaning in EXIT_CODE_HELP.items())
    parts.append(f"{KEPT_TOGETHER}EXIT STATUS:\n{codes}")
    return parts
