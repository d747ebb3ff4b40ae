"""Every fused body, with the layouts of arguments that it gets in training: CuPy's tracer, one kernel, NVRTC, numbers.

The tracer that CuPy tries first takes all of them, broadcast biases and strided views among them, and makes one
elementwise kernel. Had it failed, CuPy would have gone on to a second tracer without a word (`new_fusion`).
"""

import re

import cupy
import numpy as np
import pytest
from cupy.cuda import compiler, nvrtc
from hostcuda import kernels, runtime
from numpy.lib.stride_tricks import as_strided

from minrnn import CharRNN, backend
from minrnn.optim import OPTIMIZERS, SGD, Adam, AdamW, Constant, RMSprop
from minrnn.text import FixedLength, StreamBatches, streams
from minrnn.train import Trainer

BODIES = 34  # all that there are
ERROR = {"<f4": 3e-7, "<f8": 1e-15}  # of the largest entry, or of 1
KINDS = (
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "gru-before"},
    {"cell": "rnn"},
    {"cell": "rnn", "nonlinearity": "relu"},
)
RULES = (
    *(lambda rule=rule: rule(0.01, weight_decay=0.1) for rule in OPTIMIZERS.values()),
    lambda: SGD(0.01, momentum=0.9),
    lambda: SGD(0.01, momentum=0.9, nesterov=True),
    lambda: RMSprop(0.01, momentum=0.9),
    lambda: RMSprop(0.01, centered=True),
    lambda: AdamW(0.01, amsgrad=True),
)


class Layout(tuple):
    """Of an argument: (shape, strides, dtype) of an array, or (number,)."""

    @classmethod
    def of(cls, argument):
        if isinstance(argument, cupy.ndarray):
            return cls((argument.shape, argument.strides, argument.dtype.str))
        return cls((argument,))

    def make(self, draw):
        """An argument so laid out on the host, and the same on the device."""
        if len(self) == 1:
            return self[0], self[0]
        shape, strides, dtype = self
        size = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) // np.dtype(dtype).itemsize
        host = draw(size).astype(dtype)
        device = cupy.asarray(host)
        return as_strided(host, shape, strides), cupy.ndarray(shape, dtype, device.data, strides)


def update(model, optimizer):
    optimizer.twice = model.second_biases()
    ids = np.random.default_rng(0).integers(7, size=3 * 13).astype("uint8")
    Trainer(model, StreamBatches(streams(ids, 3), FixedLength(4)), optimizer, Constant(0.01)).train_step()


@pytest.fixture(scope="module")
def met():
    """Every body on NumPy, the same fused by CuPy, and the layouts that it met: {name: (body, fused, layouts)}."""
    bk, layouts, fuse = backend.get("cupy:1"), {}, backend.CupyBackend._fuse

    def noting(self, body):
        fused, seen = fuse(self, body), layouts.setdefault((body.__module__, body.__qualname__), set())

        def call(*args):
            seen.add(tuple(Layout.of(a) for a in args))
            return fused(*args)

        call.fused = fused
        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend.CupyBackend, "_fuse", noting)
        patch.setattr(bk, "_fused", {})
        for kind in KINDS:
            for dtype in ("float32", "float64"):
                update(CharRNN(7, hidden_size=5, dropout=0.3, dtype=dtype, device="cupy:1", **kind), Adam(0.01))
        for rule in RULES:
            update(CharRNN(7, hidden_size=5, num_layers=1, device="cupy:1"), rule())
        made = dict(bk._fused)
    found = {}
    for make, fused in made.items():
        for body, call in zip(make(np), fused, strict=True):
            found[body.__module__, body.__qualname__] = body, call.fused, layouts[body.__module__, body.__qualname__]
    return found


def test_every_body_is_met(met):
    assert len(met) == BODIES
    assert not [name for name, (_, _, layouts) in met.items() if not layouts]


def test_first_tracer_takes_every_body(met):
    assert not [name for name, (_, fused, _) in met.items() if fused.new_fusion is not None]


def cases(met, dtype):
    """(name, body, fused, layout) of every layout of arrays of that dtype."""
    for name, (body, fused, layouts) in met.items():
        for layout in layouts:
            types = {part[2] for part in layout if len(part) == 3}
            assert len(types) == 1, name
            if types == {dtype}:
                yield name, body, fused, layout


@pytest.fixture(scope="module")
def launched(met):
    """The kernel of every float32 layout, after one launch of it: {(name, layout): (source, name of the kernel)}."""
    found, draw = {}, np.random.default_rng(0).standard_normal
    for name, _, fused, layout in cases(met, "<f4"):
        with backend.get("cupy:1").scope():
            args = [part.make(draw)[1] for part in layout]
            before = runtime.counts["launchKernel"], runtime.counts["malloc"]
            fused(*args)
            assert (runtime.counts["launchKernel"], runtime.counts["malloc"]) == (before[0] + 1, before[1]), name
        found[name, layout] = kernels.launched[-1]
    return found


def test_one_kernel_that_computes_in_the_type_of_its_arrays(launched):
    for (name, _), (source, kernel) in launched.items():
        assert kernel == name[1].split(".")[-1]
        assert not re.search(r"\bdouble v\d+_", source.text), f"{name} computes in float64"


@pytest.mark.parametrize("arch", ["80", "90"])
def test_nvrtc_compiles_them(arch, launched):
    try:
        nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"NVRTC is not installed (pip install nvidia-cuda-nvrtc-cu12): {error}")
    sources = {source.text: source for source, _ in launched.values()}
    for source in sources.values():
        cubin, _ = compiler._compile_using_nvrtc_no_warning(source.text, (*source.options, "-ftz=true"), arch)
        assert cubin.startswith(b"\x7fELF")
    print(f"NVRTC compiled {len(sources)} kernels for sm_{arch}")


@pytest.mark.skipif(not kernels.COMPILER, reason="needs g++")
@pytest.mark.parametrize("dtype", ERROR)
def test_numbers_are_those_of_numpy(dtype, met):
    rng, worst, number = np.random.default_rng(1), (0.0, ""), 0
    for name, body, fused, layout in cases(met, dtype):
        for draw in (rng.standard_normal, lambda size: rng.uniform(0.05, 2.0, size)):
            with np.errstate(all="ignore"), backend.get("cupy:1").scope():
                host, device = zip(*(part.make(draw) for part in layout), strict=True)
                body(*host)
                fused(*device)
                pairs = [(a.get(), b) for a, b in zip(device, host, strict=True) if isinstance(b, np.ndarray)]
            number += 1
            for a, b in pairs:
                finite = np.isfinite(b)
                np.testing.assert_array_equal(np.isfinite(a), finite, str(name))
                error = np.abs(a - b)[finite].max(initial=0) / max(np.abs(b[finite]).max(initial=0), 1)
                worst = max(worst, (float(error), name[1]))
    print(f"{number} cases in {dtype}; largest difference {worst}")
    assert number > 2 * len(KINDS) and worst[0] < ERROR[dtype], worst


def test_arguments_are_laid_out_as_asked():
    """The maker of arguments itself: a block of columns."""
    host, device = Layout(((3, 4), (32, 4), "<f4")).make(np.random.default_rng(0).standard_normal)
    assert host.strides == device.strides == (32, 4)
    np.testing.assert_array_equal(device.get(), host)
