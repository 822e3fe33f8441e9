from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engines.engine import Smoothing
from pipeline.config import Config, SmoothConfig, load_config, parse_time, presets
from pipeline.errors import ConfigError
from pipeline.layers import flattened, nested


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_nothing_given_is_the_defaults():
    assert load_config() == Config()


def test_preset_changes_only_what_it_names():
    config = load_config(preset="archive")
    assert config.encoder.codec == "ffv1"
    assert config.clean == Config().clean


def test_file_wins_over_preset(tmp_path):
    file = written(tmp_path, "encoder: {crf: 30}")
    config = load_config(preset="fast", file=file)
    assert (config.encoder.crf, config.encoder.preset) == (30, "ultrafast")


def test_assignment_wins_over_file(tmp_path):
    file = written(tmp_path, "encoder: {crf: 30}")
    assert load_config(file=file, assignments=["encoder.crf=12"]).encoder.crf == 12


def test_option_wins_over_assignment():
    config = load_config(assignments=["encoder.crf=12"], options={"encoder.crf": 9})
    assert config.encoder.crf == 9


def test_last_assignment_wins():
    config = load_config(assignments=["clean.strength=0.1", "clean.strength=0.2"])
    assert config.clean.strength == 0.2


def test_option_that_was_not_given_changes_nothing():
    assert load_config(preset="fast", options={"encoder.crf": None}).encoder.crf == 20


def test_engine_options_of_two_layers_are_merged(tmp_path):
    file = written(tmp_path, "engine: {options: {threads: 2, batch: 1}}")
    config = load_config(file=file, assignments=["engine.options.batch=4"])
    assert config.engine.options == {"threads": 2, "batch": 4}


def test_printed_yaml_reads_back_to_the_same_configuration(tmp_path):
    config = load_config(preset="fast", assignments=["source.start=1:02.5", "compare.layout=wipe"])
    assert load_config(file=written(tmp_path, config.as_yaml())) == config


def test_empty_file_changes_nothing(tmp_path):
    assert load_config(file=written(tmp_path, "# nothing\n")) == Config()


def test_configuration_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Config().clean.strength = 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12", "12"), ("1:30", 90), ("00:01:30.25", 90.25), ("2:00:00", 7200), (4.5, 4.5)],
)
def test_clock_time_becomes_seconds(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["1:75", "later", "-1:00"])
def test_wrong_time_is_refused_with_its_text(text):
    with pytest.raises(ConfigError, match=rf"source\.start: must be .*got '{text}'"):
        load_config(options={"source.start": text})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("clean.strength=1.5", r"clean\.strength: must be a number from 0 to 1, got 1\.5"),
        ("clean.strength=.nan", r"clean\.strength: must be a number from 0 to 1, got nan"),
        ("encoder.crf=-1", r"encoder\.crf: must be a number from 0 to 63, got -1"),
        ("source.start=-2", r"source\.start: must be a number from 0 up, got -2"),
        ("encoder.codec=vp9", r"encoder\.codec: must be 'h264', 'hevc', .*, got 'vp9'"),
        ("encoder.cfr=3", r"encoder\.cfr: unknown key; did you mean crf\?"),
        (
            "encoder.zzz=3",
            r"encoder\.zzz: unknown key; allowed: codec, crf, preset, hardware, drop_streams",
        ),
        ("source.decode=gpu", r"source\.decode: .*'auto', 'cpu' or 'cuda'"),
        ("engin.name=auto", r"engin: unknown key; did you mean engine\?"),
        ("compare.only=true", r"compare: compare\.only needs compare\.layout"),
        ("engine=3", r"engine: must be a valid dictionary.*, got 3"),
    ],
)
def test_wrong_setting_names_key_value_limits_and_origin(assignment, message):
    with pytest.raises(ConfigError, match=message) as raised:
        load_config(assignments=[assignment])
    assert f"(--set {assignment})" in str(raised.value)


def test_fault_names_the_layer_that_set_it_last(tmp_path):
    file = written(tmp_path, "clean: {strength: 2}")
    with pytest.raises(ConfigError, match=r"got 3 \(command line\)"):
        load_config(file=file, options={"clean.strength": 3})
    with pytest.raises(ConfigError, match=r"got 2 \(.*mine\.yaml\)"):
        load_config(file=file)


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError, match=r"clean\.strength.*; encoder\.crf"):
        load_config(assignments=["clean.strength=2", "encoder.crf=99"])


def test_end_before_start_is_refused():
    with pytest.raises(ConfigError, match=r"end must be after start \(5 s\), got 3 s"):
        load_config(options={"source.start": 5, "source.end": 3})


@pytest.mark.parametrize("text", ["strength", "=1", "clean.=1", ".strength=1"])
def test_assignment_without_key_or_value_is_refused(text):
    with pytest.raises(ConfigError, match=r"must look like group\.key=value"):
        load_config(assignments=[text])


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- a\n- b", "must hold"), ("\x00", "not valid YAML")],
)
def test_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"mine\.yaml: {message}"):
        load_config(file=written(tmp_path, text))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_config(file=tmp_path / "none.yaml")


def test_unknown_preset_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"no preset named 'slow'; there are: archive, fast"):
        load_config(preset="slow")


@pytest.mark.parametrize("preset", list(presets()), ids=lambda preset: preset.name)
def test_preset_is_explained_and_holds_differences_only(preset):
    assert preset.about.endswith(".")
    defaults = dict(flattened(Config().model_dump()))
    for key, value in flattened(preset.values):
        assert defaults[key] != value


def test_presets_are_packed_into_the_wheel():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs": "pipeline/configs"}


@given(st.text("ab.", min_size=1).filter(lambda key: all(key.split("."))), st.integers())
def test_flattening_undoes_nesting(key, value):
    assert dict(flattened(nested(key, value))) == {key: value}


def test_printed_configuration_is_plain_yaml():
    assert yaml.safe_load(Config().as_yaml())["engine"]["name"] == "auto"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("auto", "auto"), ("off", "off"), (False, "off"), (0.5, 0.5), ("0.5", 0.5), (2, 2.0)],
)
def test_smoothing_is_off_or_auto_or_seconds(given, meant):
    assert SmoothConfig(seconds=given).seconds == meant


@pytest.mark.parametrize("given", [0, -1, "maybe", "nan", True, None, 11, [1]])
def test_other_smoothing_is_refused(given):
    with pytest.raises(ValidationError, match="must be off, auto, or seconds above 0 and up to 10"):
        SmoothConfig(seconds=given)


def test_a_bare_off_in_a_file_is_off(tmp_path):
    config = load_config(file=written(tmp_path, "smooth: {seconds: off}"))
    assert config.smooth.chosen(cleaned=True) is None
    assert yaml.safe_load(config.as_yaml())["smooth"]["seconds"] == "off"


def test_automatic_smoothing_is_for_cleaned_pictures_and_seconds_for_all():
    assert SmoothConfig().chosen(cleaned=True) == Smoothing(0.15, 0.25, deband=True)
    assert SmoothConfig().chosen(cleaned=False) is None
    calm = SmoothConfig(seconds=0.3, deband=False)
    assert calm.chosen(cleaned=False) == Smoothing(0.3, 0.5, deband=False)


def test_the_fast_preset_does_not_smooth():
    assert load_config(preset="fast").smooth.seconds == "off"


def test_a_bare_off_is_no_hardware_encoder(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("encoder: {hardware: off}\n", encoding="utf-8")
    assert load_config(file=file).encoder.hardware == "off"
