"""Settings: the example file, the environment, and what a misspelt setting says."""

import tomllib
from pathlib import Path

import pytest

from bot.config import ConfigError, Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("DISCORD_TOKEN", "MYVLM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_example_file_lists_every_setting_with_its_default():
    assert tomllib.loads(EXAMPLE.read_text()) == Settings().model_dump()


def test_the_example_file_explains_every_setting_in_the_models_words():
    lines = EXAMPLE.read_text().splitlines()
    for section, field in Settings.model_fields.items():
        for name, setting in field.annotation.model_fields.items():
            at = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = ") and f"# {setting.description}" == lines[i - 1])
            assert f"[{section}]" in lines[:at]


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "mine.toml"
    file.write_text('[engine]\ndevice = "cuda"\nport = 1\n[discord]\ntoken = "from file"\n')
    monkeypatch.setenv("MYVLM_ENGINE__DEVICE", "cpu")
    monkeypatch.setenv("MYVLM_DISCORD__API_BASE", "http://127.0.0.1:1/api/v10")
    monkeypatch.setenv("DISCORD_TOKEN", "from environment")
    settings = load_settings(file)
    assert (settings.engine.device, settings.engine.port) == ("cpu", 1)
    assert settings.discord.api_base == "http://127.0.0.1:1/api/v10"
    assert settings.discord.token == "from environment"


def test_the_file_in_the_working_folder_is_found(tmp_path):
    (tmp_path / "config.toml").write_text("[playground]\nport = 4321\n")
    assert load_settings().playground.port == 4321


def test_the_file_named_in_the_environment_is_found(tmp_path, monkeypatch):
    (tmp_path / "other.toml").write_text("[playground]\nport = 4322\n")
    monkeypatch.setenv("MYVLM_CONFIG", str(tmp_path / "other.toml"))
    assert load_settings().playground.port == 4322


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[engine]\ntoken = "sécret"\n', "engine.token can't be sent: write it with letters, digits and signs of ASCII only"),
        ('[engine]\ntoken = "secret "\n', "engine.token can't be sent"),
        ('[discord]\ntokn = "x"\n', '[discord] has no setting "tokn". Did you mean "token"?'),
        ("[enginee]\nport = 1\n", 'There is no section "enginee". Did you mean "engine"?'),
        ("[playground]\nzzz = 1\n", '[playground] has no setting "zzz". Known: port.'),
        ('[engine]\nport = "many"\n', "engine.port: Input should be a valid integer"),
        ("[engine]\nport = 70000\n", "engine.port: Input should be less than or equal to 65535"),
        ("[engine\n", "isn't valid TOML"),
        ("engine = 3\n", "engine is a section, not a setting. Write [engine]"),
        ('[engine]\nurl = "gpubox:8765"\n', "engine.url can't be 'gpubox:8765'. It is: An engine that runs elsewhere, as http://host:port"),
        ('[engine]\ndevice = "gpu"\n', "engine.device can't be 'gpu'. It is: auto, cpu, cuda"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, says):
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_settings()
    assert says in str(raised.value)


def test_a_missing_file_says_what_to_copy(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no file .*nowhere\.toml\. Copy config\.example\.toml"):
        load_settings(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("MYVLM_ENGIN__DEVICE", r"Did you mean MYVLM_ENGINE__…"),
        ("MYVLM_ENGINE__DEVIC", r'\[engine\] has no setting "devic"\. Did you mean "device"'),
    ],
)
def test_a_misspelt_variable_is_named(monkeypatch, variable, says):
    monkeypatch.setenv(variable, "cpu")
    with pytest.raises(ConfigError, match=says):
        load_settings()


def test_the_variable_of_the_engines_cache_is_let_through(monkeypatch, tmp_path):
    monkeypatch.setenv("MYVLM_CACHE", str(tmp_path))
    assert load_settings() == Settings()


def test_secrets_do_not_show_in_a_printed_settings_object(monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "very-secret")
    assert "very-secret" not in repr(load_settings())
