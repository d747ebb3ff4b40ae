"""Settings: precedence, unknown names, types, ranges, contradictions, durations, TOML there and back."""

import dataclasses
import math

import pytest

from minrnn.config import FIELDS, Config, ConfigError, convert, duration, merge, read_toml, to_toml


def test_every_default_is_valid():
    assert merge() == Config().validate()


def test_later_layer_wins_over_earlier_and_default():
    file, flags = {"hidden": 64, "lr": 0.1}, {"lr": 0.2, "cell": "gru"}
    config = merge(file, flags)
    assert (config.hidden, config.lr, config.cell, config.layers) == (64, 0.2, "gru", 2)
    assert merge(flags, file).lr == 0.1


def test_flag_at_its_default_still_wins_over_the_file():
    assert merge({"hidden": 64, "lowercase": True}, {"hidden": 128, "lowercase": False}) == Config()


@pytest.mark.parametrize(
    ("unknown", "nearest"), [("hiden", "hidden"), ("val-frac", "val_frac"), ("droput", "dropout"), ("sed", "seed")]
)
def test_unknown_name_is_an_error_that_names_the_nearest(unknown, nearest):
    with pytest.raises(ConfigError, match=f"no setting '{unknown}'; did you mean '{nearest}'"):
        merge({unknown: 1})


def test_name_near_to_nothing_lists_the_settings():
    with pytest.raises(ConfigError, match=r"no setting 'qqq'; the settings are .*hidden.*device"):
        merge({"qqq": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", 1.5),
        ("hidden", "64"),
        ("hidden", True),
        ("lr", "fast"),
        ("lr", True),
        ("lowercase", 1),
        ("cell", 3),
        ("files", "a.txt"),
        ("files", ["a.txt", 3]),
        ("seed", None),
        ("time_limit", [1]),
    ],
)
def test_value_of_another_type_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} = .* must be "):
        convert(name, value)


def test_list_of_files_is_explained_as_such():
    with pytest.raises(ConfigError, match=r"files = 'a\.txt' must be a list of strings"):
        convert("files", "a.txt")


def test_whole_number_serves_as_float_and_list_as_files():
    assert type(convert("lr", 1)) is float
    assert merge({"files": ["a", "b"]}).files == ("a", "b")


def test_choice_that_does_not_exist_lists_those_that_do():
    with pytest.raises(ConfigError, match="cell = 'lstmm' must be one of lstm, gru, gru-before, rnn"):
        merge({"cell": "lstmm"})
    for name, field in FIELDS.items():
        for choice in field.metadata["choices"] or ():
            assert convert(name, choice) == choice


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.metadata["least"] is not None])
def test_value_below_the_least_is_refused_and_the_least_itself_is_not(name):
    field = FIELDS[name]
    least, kind = field.metadata["least"], type(field.default)
    with pytest.raises(ConfigError, match=f"{name} = .* must be at least {least}"):
        merge({name: kind(least - 1)})
    others = {"time_limit": 60} if name in ("epochs", "steps") else {"lr_min": 0.0}
    assert getattr(merge(others | {name: kind(least)}), name) == least


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if type(field.default) is float])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} = .* must be a finite number"):
        merge({name: value})


@pytest.mark.parametrize("name", ["dropout", "val_frac", "beta1", "beta2", "momentum"])
def test_share_of_one_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} = 1.0 must be below 1"):
        merge({"optimizer": "sgd", name: 1.0})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_norm": 1.0, "clip_value": 1.0}, "clip_norm and clip_value exclude each other"),
        ({"epochs": 3, "steps": 100}, "epochs and steps exclude each other"),
        ({"epochs": 0}, "nothing says when to stop"),
        ({"optimizer": "adam", "momentum": 0.9}, "momentum belongs to sgd and rmsprop, not to adam"),
        ({"cell": "lstm", "init": "identity"}, "init identity belongs to the cell rnn, not to lstm"),
        ({"cell": "gru", "nonlinearity": "relu"}, "nonlinearity belongs to the cell rnn, not to gru"),
        ({"patience": 3, "val_frac": 0.0}, "patience needs evaluations"),
        ({"patience": 3, "eval_every": 0}, "patience needs evaluations"),
        ({"schedule": "cosine", "time_limit": 60.0}, "schedule cosine must know its end"),
        ({"lr": 0.1, "lr_min": 0.2}, "lr_min = 0.2 must not exceed lr = 0.1"),
        ({"files": ["\udcff.txt"]}, "is not UTF-8"),
    ],
)
def test_contradiction_in_one_layer_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        merge(settings)


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ({}, {"steps": 100}, {"steps": 100, "epochs": 0}),
        ({"epochs": 3}, {"steps": 100}, {"steps": 100, "epochs": 0}),
        ({"steps": 100}, {"epochs": 3}, {"steps": 0, "epochs": 3}),
        ({"steps": 100}, {"steps": 0, "epochs": 3}, {"steps": 0, "epochs": 3}),
        ({}, {"clip_value": 1.0}, {"clip_value": 1.0, "clip_norm": 0.0}),
        ({"clip_value": 1.0}, {"clip_norm": 2.0}, {"clip_value": 0.0, "clip_norm": 2.0}),
        ({"clip_value": 1.0}, {"clip_norm": 0.0}, {"clip_value": 1.0, "clip_norm": 0.0}),
        ({}, {"clip_norm": 0.0}, {"clip_value": 0.0, "clip_norm": 0.0}),
        ({}, {"time_limit": 60}, {"time_limit": 60.0, "epochs": 0, "steps": 0}),
        ({"time_limit": 60}, {"epochs": 2}, {"time_limit": 60.0, "epochs": 2}),
        ({"time_limit": 60}, {"steps": 2}, {"time_limit": 60.0, "epochs": 0, "steps": 2}),
        ({"steps": 100}, {"time_limit": 60}, {"time_limit": 60.0, "epochs": 0, "steps": 100}),
        ({"time_limit": 60}, {"time_limit": 0}, {"time_limit": 0.0, "epochs": 10}),
    ],
)
def test_one_of_a_pair_displaces_the_other_of_a_lower_layer(lower, upper, expected):
    config = merge(lower, upper)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("1h1m1s", 3661), ("0.5m", 30), (" 3 ", 3), ("1m30", 90)],
)
def test_duration(text, seconds):
    assert duration(text) == seconds
    assert merge({"time_limit": text}).time_limit == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "m", "2x", "-3", "1e3", "1.2.3", ".", ".h", "1h.", "h1", "2 m", "nan", "1:30"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ConfigError, match="is no duration: write seconds, or such as 90s"):
        duration(text)


def test_toml_round_trip_keeps_every_setting(tmp_path):
    config = Config(
        files=("a.txt", 'größe "b"\\c.txt'), cell="rnn", nonlinearity="relu", lr=1e-17, time_limit=0.1, lowercase=True
    )
    assert all(type(getattr(config, name)) is type(field.default) for name, field in FIELDS.items())
    (tmp_path / "c.toml").write_text(to_toml(config), encoding="utf-8")
    assert merge(read_toml(tmp_path / "c.toml")) == config


def test_toml_is_checked_value_by_value(tmp_path):
    path = tmp_path / "c.toml"
    for text, message in (
        ("hiden = 3\n", "did you mean 'hidden'"),
        ('hidden = "3"\n', "hidden = '3' must be of type int"),
        ("[model]\nhidden = 3\n", "no setting 'model'"),
        ("hidden = \n", f"{path} is not valid TOML"),
        ("hidden = 3\nhidden = 4\n", f"{path} is not valid TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            merge(read_toml(path))
    path.write_bytes(b"cell = '\xff'\n")
    with pytest.raises(ConfigError, match=f"{path} is not valid TOML"):
        read_toml(path)


def test_configuration_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml cannot be read: No such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)


def test_toml_knows_durations(tmp_path):
    (tmp_path / "c.toml").write_text('time_limit = "2m"\n')
    assert read_toml(tmp_path / "c.toml") == {"time_limit": 120.0}


def test_every_setting_has_a_help():
    assert all(field.metadata["help"] for field in dataclasses.fields(Config))


@pytest.mark.parametrize(
    "name", ["lr", "epochs", "steps", "time_limit", "patience", "schedule", "save_every", "device"]
)
def test_settings_that_shape_nothing_may_change_in_a_resumed_run(name):
    assert not FIELDS[name].metadata["fixed"]


@pytest.mark.parametrize("name", ["hidden", "optimizer", "seed", "split", "batches", "momentum", "dropout", "files"])
def test_settings_that_the_checkpoint_depends_on_are_fixed(name):
    assert FIELDS[name].metadata["fixed"]
