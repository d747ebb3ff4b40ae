"""From settings to parts: the right ones, with the right options and independent random streams."""

import hashlib
import mmap
from functools import partial

import numpy as np
import pytest

from minrnn import build
from minrnn.build import (
    MOST_CHARACTERS,
    load_data,
    make_model,
    make_optimizer,
    make_schedule,
    make_vocabulary,
    text_blocks,
    total_steps,
)
from minrnn.config import merge
from minrnn.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from minrnn.text import StreamBatches, TextError, WindowBatches, count_characters

TEXT = "".join(np.random.default_rng(0).choice(list("abcdef \n"), size=1000))


@pytest.fixture
def config(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)

    def make(**settings):
        return merge({"files": [str(tmp_path / "text.txt")], "seq": 5, "batch": 4} | settings)

    return make


def test_text_is_read_in_order_and_normalised(tmp_path):
    (tmp_path / "a").write_text("Ab", encoding="utf-8")
    (tmp_path / "b").write_text("Cafe\u0301", encoding="utf-8")
    files = [str(tmp_path / "b"), str(tmp_path / "a")]
    assert "".join(text_blocks(files, merge())) == "Cafe\u0301Ab"
    assert "".join(text_blocks(files, merge({"lowercase": True, "nfc": True}))) == "café" + "ab"


def test_without_files_the_standard_library_is_learned():
    text = "".join(text_blocks((), merge()))
    assert len(text) > 1_000_000 and "import " in text


def test_data_belong_together(config):
    data = load_data(config(val_frac=0.2, split="rows"))
    ids = np.concatenate([data.split.train_ids.ravel(), data.split.val_ids.ravel()])
    assert data.characters == len(TEXT) and sorted(data.vocabulary.decode(ids)) == sorted(TEXT[: len(ids)])
    assert data.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert data.vocabulary.characters == "\n abcdef"
    assert data.split.name == "rows" and data.split.train.x.shape[0] == 4
    np.testing.assert_array_equal(data.split.train.x[0], data.vocabulary.encode(TEXT)[: data.split.train.x.shape[1]])
    assert data.batch_size == 4


def test_ids_are_mapped_and_as_small_as_the_vocabulary_allows(config, tmp_path):
    assert load_data(config()).split.train_ids.dtype == np.uint8
    (tmp_path / "text.txt").write_text(TEXT + "".join(map(chr, range(0x4E00, 0x4F00))), encoding="utf-8")
    ids = load_data(config()).split.train_ids
    assert ids.dtype == np.uint16 and not ids.flags.writeable
    while isinstance(ids, np.ndarray):
        ids = ids.base
    assert isinstance(ids, mmap.mmap)


def test_no_block_size_changes_the_data(config, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("ΟΔΟΣ e\u0301\r\nÅ " * 60, encoding="utf-8")
    settings = config(lowercase=True, nfc=True, vocab_min_freq=61)
    whole = load_data(settings)
    text = "οδος é\r\nå " * 60
    assert (whole.characters, whole.sha256) == (len(text), hashlib.sha256(text.encode()).hexdigest())
    monkeypatch.setattr(build, "read_blocks", partial(build.read_blocks, size=1))
    small = load_data(settings)
    assert (small.characters, small.sha256, small.vocabulary) == (whole.characters, whole.sha256, whole.vocabulary)
    np.testing.assert_array_equal(small.split.train_ids, whole.split.train_ids)


def test_progress_is_reported_in_bytes_for_both_passes(config):
    seen = []
    load_data(config(), lambda *event: seen.append(event))
    assert seen == [("reading", 1000, 1000), ("encoding", 1000, 1000)]


@pytest.mark.parametrize("split", ["tail", "rows"])
def test_evaluation_is_limited_to_the_first_columns_of_the_held_out_streams(config, split):
    settings = {"split": split, "val_frac": 0.4}
    whole = load_data(config(**settings)).split.val
    size = whole.x.size
    for limit in (0, size, 1_000_000):
        val = load_data(config(eval_chars=limit, **settings)).val
        assert np.array_equal(val.x, whole.x) and np.array_equal(val.y, whole.y)
    data = load_data(config(eval_chars=42, **settings))
    assert np.array_equal(data.val.x, whole.x[:, :10]) and np.array_equal(data.val.y, whole.y[:, :10])
    assert data.split.val.x.size == size  # what is held out stays held out
    assert load_data(config(val_frac=0.0)).val is None


def test_vocabulary_includes_the_held_out_part(config, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT + "Z")
    data = load_data(config())
    assert "Z" in data.vocabulary.characters and data.vocabulary.unknown is None


def test_batches_are_of_the_chosen_kind_and_fresh_as_such(config):
    consecutive, windows = load_data(config()).batches, load_data(config(batches="random")).batches
    assert isinstance(consecutive, StreamBatches) and isinstance(windows, WindowBatches)
    assert [b.get(0, 1).x.shape for b in (consecutive, windows)] == [(5, 4)] * 2
    assert [b.get(0, 1).fresh for b in (consecutive, windows)] == [False, True]


def test_state_is_carried_over_the_ends_of_epochs_where_it_is_never_reset(config):
    for reset, fresh in (("epoch", [True, True]), ("never", [True, False])):
        batches = load_data(config(reset=reset)).batches
        assert [batches.get(epoch, 0).fresh for epoch in (0, 1)] == fresh


def test_windows_come_from_the_training_part_alone(config):
    data = load_data(config(batches="random", val_frac=0.5))
    order = [data.batches.get(0, k).x for k in range(data.batches.num_batches(0))]
    text = data.vocabulary.decode(data.split.train_ids)
    assert len(text) == 500
    assert all(data.vocabulary.decode(x[:, b]) in text for x in order for b in range(4))


def test_rare_characters_become_the_unknown_symbol(config, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT + "Z")
    for limit in ({"vocab_min_freq": 2}, {"vocab_max_size": 8}):
        data = load_data(config(val_frac=0.0, **limit))
        assert data.vocabulary.symbols == (*"\n abcdef", "<unk>")
        assert data.split.train_ids[0, -1] == 8


def test_short_text_shrinks_the_batch(config, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT[:200])
    data = load_data(config(seq=50, batch=50))
    assert data.batch_size == data.split.train.x.shape[0] == data.batches.get(0, 0).x.shape[1] == 3


def test_too_short_text_says_what_to_set(config, tmp_path):
    for n in (1, 2, 5):
        (tmp_path / "text.txt").write_text(TEXT[:n])
        with pytest.raises(TextError, match=r"too few .* use .*smaller seq_length"):
            load_data(config(seq=50))


def test_absurd_number_of_characters_says_what_it_would_cost():
    text = "".join(chr(0x4E00 + k) for k in range(20_000)) + "".join(chr(0x20000 + k) for k in range(20_000))
    counts = count_characters([text])
    with pytest.raises(TextError, match=r"40,000 distinct characters.* about \d+\.\d GB of memory.*vocab_max_size"):
        make_vocabulary(counts, merge({}))
    assert len(make_vocabulary(counts, merge({"vocab_max_size": 5000}))) == 5001
    assert len(make_vocabulary(count_characters([text[:MOST_CHARACTERS]]), merge({}))) == MOST_CHARACTERS


def test_memory_estimate_grows_with_what_it_is_for():
    counts = count_characters(["".join(map(chr, range(0x10000, 0x10000 + 40_000)))])

    def gigabytes(**settings):
        with pytest.raises(TextError) as error:
            make_vocabulary(counts, merge(settings))
        return float(str(error.value).split("about ")[1].split(" GB")[0])

    # 5 · 4H·V numbers for weights, gradients and moments of Wx and decoder, 3 · T·B·V for one chunk, 4 bytes each
    assert gigabytes() == pytest.approx((40_000 * 4 * 5 * 128 + 3 * 50 * 50 * 40_000) * 4 / 1e9, rel=0.1)
    assert gigabytes(dtype="float64") == pytest.approx(2 * gigabytes(), rel=0.1)
    assert gigabytes(hidden=1024) > 1.4 * gigabytes()


def test_model_has_every_setting():
    settings = {"cell": "rnn", "nonlinearity": "relu", "layers": 3, "hidden": 5, "embed": 4, "dropout": 0.25}
    settings |= {"dropout_places": "between"}
    model = make_model(merge(settings, {"dtype": "float64", "init": "normal", "seed": 4}), 7)
    expected = {"vocab_size": 7, "hidden_size": 5, "num_layers": 3, "cell": "rnn", "nonlinearity": "relu"}
    assert model.settings == expected | {
        "embedding_size": 4,
        "dropout": 0.25,
        "dropout_places": "between",
        "dtype": "float64",
    }
    assert np.abs(model.params.flat).max() < 0.06
    one, same, other = (make_model(merge(settings, {"seed": seed}), 7).params.flat for seed in (5, 5, 6))
    assert (one == same).all() and (one != other).mean() > 0.9


def test_forget_bias_reaches_the_model():
    b = make_model(merge({"hidden": 4, "init": "normal", "forget_bias": 2.5}), 3).params["rnn.0.b"]
    assert b[4:8].tolist() == [2.5] * 4


@pytest.mark.parametrize(
    ("settings", "kind", "options"),
    [
        ({"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1}, SGD, {"momentum": 0.9, "weight_decay": 0.1}),
        ({"optimizer": "adagrad", "weight_decay": 0.1}, Adagrad, {"weight_decay": 0.1}),
        ({"optimizer": "rmsprop", "alpha": 0.95, "momentum": 0.5}, RMSprop, {"alpha": 0.95, "momentum": 0.5}),
        ({"optimizer": "adam", "beta1": 0.8, "beta2": 0.98}, Adam, {"betas": (0.8, 0.98), "amsgrad": False}),
        ({"optimizer": "amsgrad", "beta1": 0.8, "beta2": 0.98}, Adam, {"betas": (0.8, 0.98), "amsgrad": True}),
        ({"optimizer": "adamw", "weight_decay": 0.1}, AdamW, {"weight_decay": 0.1, "decoupled": True}),
        ({"optimizer": "adamw"}, AdamW, {"weight_decay": 0.0}),
    ],
)
def test_optimizer_has_its_options(settings, kind, options):
    optimizer = make_optimizer(merge(settings, {"lr": 0.125}), make_model(merge({"hidden": 4}), 3))
    assert optimizer.twice == ()
    assert type(optimizer) is kind and optimizer.lr == 0.125
    assert {name: getattr(optimizer, name) for name in options} == options
    assert optimizer.state == {"step": 0}


def test_two_biases_concern_the_biases_of_this_model():
    config = merge({"hidden": 4, "cell": "gru", "two_biases": True})
    model = make_model(config, 3)
    assert make_optimizer(config, model).twice == model.second_biases() != ()


def test_total_steps(config):
    batches = load_data(config()).batches
    assert batches.num_batches(0) == 44
    assert total_steps(config(epochs=3), batches) == 132
    assert total_steps(config(steps=7), batches) == 7
    assert total_steps(config(time_limit=7.0), batches) is None
    windows = load_data(config(batches="random", seq=7)).batches
    assert total_steps(config(epochs=4), windows) == sum(windows.num_batches(e) for e in range(4))


def test_schedules(config):
    batches = load_data(config()).batches  # 44 an epoch

    def rates(*steps, **settings):
        schedule = make_schedule(config(lr=0.5, **settings), batches)
        return [schedule(step) for step in steps]

    assert rates(0, 1000) == [0.5, 0.5]
    found = rates(43, 44, 87, 88, 132, schedule="exponential", decay=0.5, decay_after=2)
    assert found == [0.5, 0.5, 0.5, 0.25, 0.125]
    assert rates(0, 50, 100, schedule="cosine", steps=100, lr_min=0.1) == pytest.approx([0.5, 0.3, 0.1])
    found = rates(0, 22, 44, 88, 132, schedule="restarts", cycle_mult=2)
    assert found == pytest.approx([0.5, 0.25, 0.5, 0.25, 0.5])
    found = rates(0, 5, 10, 15, schedule="restarts", cycle=10, cycle_mult=1, lr_min=0.1)
    assert found == pytest.approx([0.5, 0.3, 0.5, 0.3])


def test_warmup_precedes_a_cosine_that_ends_with_the_run(config):
    batches = load_data(config()).batches
    schedule = make_schedule(config(lr=0.5, schedule="cosine", steps=100, warmup=20), batches)
    assert schedule(0) == pytest.approx(0.5 / 21) and schedule(19) == pytest.approx(0.5 * 20 / 21)
    assert schedule(20) == 0.5 and schedule(60) == pytest.approx(0.25) and schedule(100) == pytest.approx(0.0)
    assert make_schedule(config(schedule="cosine", steps=10, warmup=20), batches)(5) < 2e-3


def test_text_of_several_seeds_differs_only_in_order(config):
    orders = [load_data(config(batches="random", seed=seed)).batches.get(0, 0).x for seed in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
