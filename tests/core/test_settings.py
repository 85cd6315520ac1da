"""Settings come from four sources, and whatever is wrong with one is said plainly."""

from __future__ import annotations

from pathlib import Path

import pytest

from fileplane.setting_sources import load_settings, misspelt_variables
from fileplane.setting_values import parse_size
from fileplane.settings import REDACTED, Settings, SettingsError


def test_later_sources_win(tmp_path: Path) -> None:
    config = tmp_path / "fileplane.toml"
    config.write_text('port = 1001\nhost = "0.0.0.0"\nworkers = 2\n', "utf-8")
    environment = {"FILEPLANE_PORT": "1002", "FILEPLANE_HOST": "127.0.0.2"}
    loaded = load_settings(environment=environment, config=config, options={"port": 1003, "data_dir": None})
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.workers) == (1003, "127.0.0.2", 2)
    assert loaded.sources == {"port": "--port", "host": "FILEPLANE_HOST", "workers": str(config)}


def test_without_any_source_every_setting_has_its_default() -> None:
    assert load_settings(environment={}).settings == Settings()


def test_the_environment_may_name_the_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "fileplane.toml"
    config.write_text("max_file_bytes = '1 MiB'\nextra_purposes = ['a', 'b']\n", "utf-8")
    settings = load_settings(environment={"FILEPLANE_CONFIG": str(config)}).settings
    assert (settings.max_file_bytes, settings.extra_purposes) == (1 << 20, ("a", "b"))


def test_openais_variables_serve_where_none_of_ours_is_set() -> None:
    theirs = {"OPENAI_API_KEY": "theirs", "OPENAI_BASE_URL": "http://there/v1"}
    assert load_settings(environment=theirs).settings.api_key == "theirs"
    assert load_settings(environment=theirs).settings.base_url == "http://there/v1"


def test_a_key_of_ours_is_never_paired_with_a_server_of_theirs_nor_the_other_way_round() -> None:
    theirs = {"OPENAI_API_KEY": "theirs", "OPENAI_BASE_URL": "http://there/v1"}
    ours = load_settings(environment=theirs | {"FILEPLANE_API_KEY": "ours"}).settings
    assert (ours.api_key, ours.base_url) == ("ours", Settings().base_url)
    ours = load_settings(environment=theirs | {"FILEPLANE_BASE_URL": "http://here/v1"}).settings
    assert (ours.api_key, ours.base_url) == (None, "http://here/v1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1 KiB", 1024),
        ("100MiB", 100 << 20),
        ("8 GiB", 8 << 30),
        ("1tib", 1 << 40),
        ("5 MB", 5_000_000),
        ("7 B", 7),
    ],
)
def test_sizes_are_written_as_people_write_them(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "0"),
        ("port", "65536"),
        ("port", "http"),
        ("port", "-1"),
        ("port", "٣"),
        ("workers", "0"),
        ("data_dir", ""),
        ("key_cache_seconds", "6"),
        ("key_cache_seconds", "nan"),
        ("max_file_bytes", "-5"),
        ("max_file_bytes", "5 parsecs"),
        ("max_file_bytes", "1.5 GiB"),
        ("file_id_style", "guid"),
        ("log_level", "loud"),
        ("max_list_limit", "10001"),
        ("database_url", "postgresql://u:p%zz@h/db"),
        ("database_url", "postgresql://u:p@[::1/db"),
        ("database_url", "postgresql://u:p@h]x/db"),
        ("trusted_proxies", "10.0.0.0/8,proxy.internal"),
        ("otlp_endpoint", "http://127.0.0.1:4318/v1/traces"),
        ("otlp_endpoint", "http://127.0.0.1:4318/v1/traces/"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_name_and_source(name: str, value: str) -> None:
    variable = f"FILEPLANE_{name.upper()}"
    if not value:
        assert load_settings(environment={variable: value}).settings == Settings()
        return
    with pytest.raises(SettingsError, match=f"{name} from {variable} must be "):
        load_settings(environment={variable: value})


def test_a_secret_with_a_wrong_value_is_not_repeated(tmp_path: Path) -> None:
    config = tmp_path / "fileplane.toml"
    config.write_text("bootstrap_api_key = 12345678901234567890\n", "utf-8")
    with pytest.raises(SettingsError) as refused:
        load_settings(environment={}, config=config)
    assert "12345" not in str(refused.value)


def test_a_variable_that_kubernetes_sets_is_explained() -> None:
    with pytest.raises(SettingsError, match="enableServiceLinks"):
        load_settings(environment={"FILEPLANE_PORT": "tcp://10.0.0.1:80"})


@pytest.mark.parametrize("text", ["prot = 1\n", "port = \n", "[server]\nport = 1\n"])
def test_a_configuration_file_with_an_error_is_refused(tmp_path: Path, text: str) -> None:
    config = tmp_path / "fileplane.toml"
    config.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=r"fileplane\.toml"):
        load_settings(environment={}, config=config)


def test_a_configuration_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(environment={}, config=tmp_path / "nowhere.toml")


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="go together"):
        load_settings(environment={"FILEPLANE_TLS_CERT": "cert.pem"})


def test_rows_show_values_and_sources_but_no_secret() -> None:
    loaded = load_settings(environment={"FILEPLANE_API_KEY": "fpk_secret", "FILEPLANE_PORT": "1"})
    rows = {row.name: row for row in loaded.rows()}
    assert (rows["api_key"].shown_value, rows["api_key"].source) == (REDACTED, "FILEPLANE_API_KEY")
    assert (rows["port"].shown_value, rows["port"].source) == ("1", "FILEPLANE_PORT")
    assert (rows["bootstrap_api_key"].shown_value, rows["host"].source) == ("", "default")
    assert all(row.help.endswith((".", "HTTPS.")) for row in rows.values())


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("fpk_from_a_file\n", "utf-8")
    loaded = load_settings(environment={"FILEPLANE_API_KEY_FILE": str(secret), "OPENAI_API_KEY": "theirs"})
    assert (loaded.settings.api_key, loaded.sources["api_key"]) == ("fpk_from_a_file", "FILEPLANE_API_KEY_FILE")
    with pytest.raises(SettingsError, match="FILEPLANE_API_KEY_FILE"):
        load_settings(environment={"FILEPLANE_API_KEY_FILE": str(tmp_path / "nowhere")})
    secret.write_text(" \n")
    with pytest.raises(SettingsError, match="FILEPLANE_API_KEY_FILE names is empty"):
        load_settings(environment={"FILEPLANE_API_KEY_FILE": str(secret)})


def test_settings_never_show_a_secret_when_they_are_printed_whole() -> None:
    assert "hidden" not in repr(
        load_settings(environment={"FILEPLANE_API_KEY": "hidden", "FILEPLANE_BOOTSTRAP_API_KEY": "hidden"}).settings
    )


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FILEPLANE_MAX_FLIE_BYTES", "FILEPLANE_MAX_FILE_BYTES"),
        ("FILEPLANE_DATABASE_URI", "FILEPLANE_DATABASE_URL"),
        ("FILEPLANE_MASTER_KEYFILE", "FILEPLANE_MASTER_KEY_FILE"),
        ("FILEPLANE_WORKER", "FILEPLANE_WORKERS"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_one_that_is_meant(variable: str, meant: str) -> None:
    [complaint] = misspelt_variables({variable: "x", "FILEPLANE_PORT": "1"})
    assert complaint == f"The environment variable {variable} is no setting and does nothing; is {meant} meant?"


def test_variables_of_settings_of_moves_and_of_kubernetes_are_not_taken_for_misspelt_ones() -> None:
    kubernetes = ("FILEPLANE_SERVICE_HOST", "FILEPLANE_SERVICE_PORT_HTTP", "FILEPLANE_PORT_8787_TCP_ADDR", "FILEPLANE_POSTGRES_PORT")
    others = ("FILEPLANE_CONFIG", "FILEPLANE_COMPLETE", "FILEPLANE_TO_DATABASE_URL", "_FILEPLANE_COMPLETE", "PATH")
    settings = ("FILEPLANE_HOST", "FILEPLANE_MASTER_KEY", "FILEPLANE_MASTER_KEY_FILE", "FILEPLANE_DATABASE_URL_FILE")
    assert list(misspelt_variables(dict.fromkeys((*kubernetes, *others, *settings), "x"))) == []
