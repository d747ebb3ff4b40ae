"""`minrnn sample`: what reaches stdout, and when it is refused."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from minrnn.cli import sample
from minrnn.runs import BEST, LAST
from minrnn.sample import sample_rng, sample_text


def expected(run, prime="", which=BEST, number=0, seed=0, **options):
    rng = sample_rng(seed, number)
    return "".join(sample_text(run.models[which], run.data.vocabulary, prime, rng=rng, **options))


def test_stdout_is_the_prime_and_n_new_characters_and_nothing_else(run, call):
    result = call("sample", run.path, "-n", 40, "--prime", "abc")
    assert result.out == "abc" + expected(run, "abc", n=40)
    assert (result.code, result.err) == (0, "")
    assert len(call("sample", run.path).out) == 500


def test_flags_reach_the_sampler(run, call):
    for flags, options in (
        (["--temperature", "0.5"], {"temperature": 0.5}),
        (["--temperature", "0"], {"temperature": 0}),
        (["--greedy"], {"temperature": 0}),
        (["--top-k", "2"], {"top_k": 2}),
        (["--top-p", "0.4"], {"top_p": 0.4}),
        (["--seed", "5"], {"seed": 5}),
        (["--which", "last"], {"which": LAST}),
        (["--stop", "a"], {"stop": "a"}),
    ):
        plain, wanted = expected(run, n=60), expected(run, n=60, **options)
        assert wanted != plain, flags
        assert call("sample", run.path, "-n", 60, *flags).out == wanted, flags


def test_checkpoint_file_can_be_named_directly(run, call):
    assert call("sample", f"{run.path}/{LAST}", "-n", 30).out == expected(run, which=LAST, n=30)


def test_prime_file_is_a_prime(run, call, tmp_path):
    (tmp_path / "prime.txt").write_bytes(b"ab\n")
    assert call("sample", run.path, "-n", 9, "--prime-file", tmp_path / "prime.txt").out == "ab\n" + expected(
        run, "ab\n", n=9
    )


def test_samples_are_separated_on_stdout_and_each_has_its_own_generator(run, call):
    out = call("sample", run.path, "-n", 30, "--num", 3, "--prime", "a").out
    first, *rest = out.split("--- sample ")
    assert first == ""
    for number, piece in enumerate(rest):
        head, text = piece.split(" ---\n", 1)
        assert head == str(number + 1)
        text = text if number == 2 else text.removesuffix("\n")
        assert text == ("a" + expected(run, "a", n=30, number=number)).removesuffix("\n" if number < 2 else "")


@pytest.mark.parametrize("stop", ["a", "\n"])
def test_samples_that_do_not_fit_into_one_batch(run, call, monkeypatch, stop):
    monkeypatch.setattr(sample, "TOGETHER", 2)
    pieces = call("sample", run.path, "-n", 30, "--num", 5, "--stop", stop).out.split("--- sample ")[1:]
    texts = [expected(run, n=30, number=number, stop=stop) for number in range(5)]
    assert len(set(map(len, texts))) > 1
    for number, (piece, text) in enumerate(zip(pieces, texts, strict=True)):
        newline = "" if number == 4 or text.endswith("\n") else "\n"
        assert piece == f"{number + 1} ---\n{text}{newline}"


def test_prime_is_normalised_like_the_training_text(make_run, call):
    run = make_run("lower", "Hello There. " * 40, lowercase=True)
    assert call("sample", run.path, "-n", 5, "--prime", "HELLO").out == "hello" + expected(run, "hello", n=5)


def test_unknown_characters_in_the_prime(run, make_run, call, refused):
    refused(3, "'Z' | U+005A", "sample", run.path, "--prime", "aZb")
    refused(2, "--unknown replace", "sample", run.path, "--prime", "aZb", "--unknown", "replace")
    assert call("sample", run.path, "-n", 9, "--prime", "aZb", "--unknown", "skip").out == "aZb" + expected(
        run, "ab", n=9
    )
    rare = make_run("rare", "abcabcabc" * 40 + "xyz", vocab_min_freq=5)
    out = call("sample", rare.path, "-n", 30, "--prime", "ax", "--unknown", "replace")
    assert out.out == "ax" + expected(rare, "ax", n=30, unknown="replace")


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("--greedy | --temperature", ["--greedy", "--temperature", "0.5"]),
        ("--greedy | --top-k and --top-p", ["--greedy", "--top-k", "3", "--top-p", "0.5"]),
        ("--temperature 0 | --top-k", ["--temperature", "0", "--top-k", "3"]),
        ("temperature = -1.0", ["--temperature", "-1"]),
        ("temperature = nan", ["--temperature", "nan"]),
        ("temperature = inf", ["--temperature", "inf"]),
        ("top_k = 0", ["--top-k", "0"]),
        ("top_p = 0.0", ["--top-p", "0"]),
        ("top_p = 1.5", ["--top-p", "1.5"]),
        ("-n -1", ["-n", "-1"]),
        ("--num 0", ["--num", "0"]),
        ("--seed -1", ["--seed", "-1"]),
        ("--prime and --prime-file", ["--prime", "a", "--prime-file", "b"]),
    ],
)
def test_contradictions_and_values_out_of_range_are_usage_errors(run, refused, words, flags):
    refused(2, words, "sample", run.path, *flags)


def test_bad_input_is_code_3(run, refused, tmp_path):
    refused(3, "nowhere", "sample", tmp_path / "nowhere")
    refused(3, "stop string", "sample", run.path, "--stop", "Z")
    refused(3, "missing.txt", "sample", run.path, "--prime-file", tmp_path / "missing.txt")
    (tmp_path / "run" / BEST).write_bytes(b"not a checkpoint")
    refused(3, BEST, "sample", run.path)


def test_diverged_network_is_bad_input_and_names_the_checkpoint(run, call):
    from minrnn.model.checkpoint import load_checkpoint, save_checkpoint

    arrays, content = load_checkpoint(f"{run.path}/{BEST}")
    arrays["decoder.b"][:] = np.nan
    save_checkpoint(f"{run.path}/{BEST}", arrays, content)
    result = call("sample", run.path, "--prime", "a")
    assert result.code == 3
    assert BEST in result.err
    assert "not finite" in result.err
    assert "Traceback" not in result.err


def start(run, *flags):
    """A real process, because pipes, signals and the end of the interpreter are what is tested."""
    command = [sys.executable, "-m", "minrnn", "sample", run.path, "-n", "10000000", *flags]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_closed_pipe_ends_quietly(run):
    process = start(run)
    assert process.stdout.read(20).decode() == expected(run, n=20)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""


def test_characters_are_flushed_as_they_come(run):
    process = start(run)
    try:
        assert 0 < len(os.read(process.stdout.fileno(), 1 << 16)) < 4096, "it waited for a buffer to fill"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_ctrl_c_is_quiet_and_130(run):
    process = start(run)
    process.stdout.read(5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b""


def test_utf8_whatever_the_locale(make_run):
    run = make_run("chinese", "子曰學而時習之不亦說乎。" * 40)
    environment = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "minrnn", "sample", run.path, "-n", "20"]
    result = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert result.stdout.decode("utf-8") == expected(run, n=20)
