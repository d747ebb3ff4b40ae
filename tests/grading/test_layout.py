"""The layouts of courses: each line moves every number to its place, and back."""

import numpy as np
import pytest

from minrnn.grading.courses import layout as lay

AXES = {
    "x": ("T", "N", "D"),
    "h": ("T", "N", "H"),
    "h0": ("N", "H"),
    "Wx": ("D", "G", "H'"),
    "Wh": ("H", "G", "H'"),
    "b": ("G", "H'"),
    "y": ("T", "N", "V"),
    "ids": ("T",),
}
SIZES = lay.SIZES
T, N, D, H = SIZES["T"], SIZES["N"], SIZES["D"], SIZES["H"]


def layout(order="fico", gates="ifoc", **sizes):
    return lay.Layout(AXES, gates, order, {**SIZES, **sizes})


def values(of=None):
    of = of or layout()
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(of.canonical_shape(name)) for name in AXES}


RIGHT = {  # line: what it means, written out by hand
    "x: N T D": lambda v: v["x"].swapaxes(0, 1),
    "X: D N T = x": lambda v: v["x"].transpose(2, 1, 0),
    "a0: H N = h0": lambda v: v["h0"].T,
    "h: (T N) H": lambda v: v["h"].reshape(T * N, H),
    "h: (N T) H": lambda v: v["h"].swapaxes(0, 1).reshape(T * N, H),
    "hs: (1+T) N H = h0 + h": lambda v: np.concatenate([v["h0"][None], v["h"]]),
    "Wf: H' (H+D) = Wh.f + Wx.f": lambda v: np.hstack([v["Wh"][:, H : 2 * H].T, v["Wx"][:, H : 2 * H].T]),
    "Wf: (D+H) H' = Wx.f + Wh.f": lambda v: np.vstack([v["Wx"][:, H : 2 * H], v["Wh"][:, H : 2 * H]]),
    "Wc: H' H = Wh.c": lambda v: v["Wh"][:, 3 * H :].T,
    "Wc: H H' = Wh.c": lambda v: v["Wh"][:, 3 * H :],
    "Wi: D H = -Wx.i": lambda v: -v["Wx"][:, :H],
    "bo: H 1 = b.o": lambda v: v["b"][2 * H : 3 * H, None],
    "W: D 4H = Wx": lambda v: np.hstack([v["Wx"][:, k * H : (k + 1) * H] for k in (1, 0, 3, 2)]),
    "W: 4H D = Wx": lambda v: np.hstack([v["Wx"][:, k * H : (k + 1) * H] for k in (1, 0, 3, 2)]).T,
    "U: H 4H = Wh": lambda v: np.hstack([v["Wh"][:, k * H : (k + 1) * H] for k in (1, 0, 3, 2)]),
    "bias: 1 4H = b": lambda v: np.concatenate([v["b"][k * H : (k + 1) * H] for k in (1, 0, 3, 2)])[None],
    "dW: H' D = Wx.f / N": lambda v: v["Wx"][:, H : 2 * H].T / N,
}


@pytest.mark.parametrize("line", RIGHT)
def test_a_line_puts_every_number_in_its_place(line):
    tensor = lay.parse(line)
    array = lay.to_student(tensor, values(), layout())
    np.testing.assert_array_equal(array, RIGHT[line](values()))
    assert array.shape == tensor.shape(layout())


@pytest.mark.parametrize("line", RIGHT)
def test_the_way_back_is_the_inverse(line):
    tensor, v = lay.parse(line), values()
    pieces = lay.to_canonical(tensor, lay.to_student(tensor, v, layout()), layout())
    for part in tensor.parts:
        k = "ifoc".find(part.gate) if part.gate else None
        right = v[part.name] if k is None else v[part.name][..., k * H : (k + 1) * H]
        np.testing.assert_allclose(pieces[part.name, part.gate], right, rtol=1e-15)


def test_an_order_of_gates_that_is_not_its_own_inverse():
    """Exchanges of two gates cannot tell an order from its inverse; this one takes all four round."""
    of, v, tensor = layout("foci"), values(), lay.parse("W: D 4H = Wx")
    array = lay.to_student(tensor, v, of)
    i, f, o, c = np.split(v["Wx"], 4, axis=1)
    np.testing.assert_array_equal(array, np.hstack([f, o, c, i]))
    np.testing.assert_array_equal(lay.to_canonical(tensor, array, of)["Wx", ""], v["Wx"])


def test_the_axes_of_an_image_are_one_canonical_axis():
    of = lay.Layout({"x": ("N", "K", "L")}, "", "", SIZES)
    x = np.arange(float(N * SIZES["K"] * SIZES["L"])).reshape(of.canonical_shape("x"))
    assert x.shape == (N, SIZES["K"] * SIZES["L"])
    image = lay.to_student(lay.parse("x: N K L"), {"x": x}, of)
    assert image.shape == (N, SIZES["K"], SIZES["L"])
    np.testing.assert_array_equal(lay.to_canonical(lay.parse("x: N K L"), image, of)["x", ""], x)


def test_an_array_of_a_student_is_never_a_view_of_the_canonical_one():
    v = values()
    array = lay.to_student(lay.parse("x: T N D"), v, layout())
    array[:] = 0
    assert v["x"].all()


def test_separate_gates_are_one_canonical_array_again():
    v, of = values(), layout()
    pieces = {}
    for gate in "oifc":
        tensor = lay.parse(f"W: H' (H+D) = Wh.{gate} + Wx.{gate}")
        pieces |= lay.to_canonical(tensor, lay.to_student(tensor, v, of), of)
    whole = lay.assemble(pieces, of)
    assert whole.keys() == {"Wx", "Wh"}
    np.testing.assert_array_equal(whole["Wx"], v["Wx"])
    np.testing.assert_array_equal(whole["Wh"], v["Wh"])


def test_an_array_with_a_missing_gate_is_left_out():
    of = layout()
    assert lay.assemble({("b", gate): np.zeros(H) for gate in "ifo"}, of) == {}


def test_a_list_is_a_list_of_numbers_or_of_arrays():
    ids = {"ids": np.arange(4), "x": values()["x"]}
    numbers = lay.to_student(lay.parse("inputs: [T] = ids"), ids, layout())
    assert numbers == [0, 1, 2, 3] and all(type(number) is int for number in numbers)
    steps = lay.to_student(lay.parse("xs: [T] N D = x"), ids, layout())
    assert len(steps) == T and all(type(step) is np.ndarray and step.shape == (N, D) for step in steps)
    assert lay.to_canonical(lay.parse("xs: [T] N D = x"), steps, layout())["x", ""].shape == (T, N, D)


def test_an_axis_may_be_left_out_where_it_has_size_1():
    of = layout(N=1)
    v = values(of)
    assert lay.to_student(lay.parse("x: T D"), v, of).shape == (T, D)
    with pytest.raises(lay.LayoutError, match="x has the axes T D"):
        lay.to_student(lay.parse("x: T D"), values(), layout())


def test_another_shape_is_not_taken_for_the_right_one():
    with pytest.raises(lay.LayoutError, match=r"b has shape \(1, 7\), not \(7,\)"):
        lay.to_canonical(lay.parse("b: H = b.f"), np.zeros((1, 7)), layout())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x N T D", "name and a colon"),
        ("x: N T Q", "'Q' is no axis"),
        ("x:", "no axes"),
        ("x: N (T", "no axes"),
        ("W: (H+D) H' = Wh.f", "1 parts"),
        ("W: H H' = Wh.f + Wx.f", "2 parts"),
        ("W: H D = 3", "canonical name"),
        ("W: H D = Wx Wh", "canonical name"),
        ("W: H D = Wx / Q", "divided by 'Q'"),
    ],
)
def test_a_line_that_is_not_understood_says_what(line, message):
    with pytest.raises(lay.LayoutError, match=message):
        lay.parse(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x: N T H", "axis H"),
        ("q: N H", "no canonical 'q'"),
        ("b: H = b.q", "gates are i f o c"),
        ("x: N T D = x.f", "no gates"),
        ("W: D H = Wx", "axes D H"),
        ("h0: N H H'", "axes N H H'"),
    ],
)
def test_a_line_that_does_not_fit_the_family_says_why(line, message):
    with pytest.raises(lay.LayoutError, match=message):
        lay.to_student(lay.parse(line), values(), layout())


def test_a_line_is_checked_without_numbers():
    lay.check(lay.parse("Wf: H' (H+D) = Wh.f + Wx.f"), layout())
    with pytest.raises(lay.LayoutError, match="gates are"):
        lay.check(lay.parse("Wf: H' (H+D) = Wh.f + Wx.q"), layout())
