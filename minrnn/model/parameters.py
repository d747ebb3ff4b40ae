"""One flat vector with named views: parameters, gradients and optimizer moments all have this form.

Clipping, the optimizer's update, a copy to another device and the sum over several processes are then one operation on
`flat`, and `params["rnn.0.Wx"]` is still an array of its own shape.
"""

from collections.abc import Iterator, Mapping
from math import prod

from minrnn.backend import Array, Backend

Shapes = Mapping[str, tuple[int, ...]]


class Parameters(Mapping[str, Array]):
    """A read-only mapping name → array whose arrays are consecutive views of the vector `flat`, in the given order.

    The arrays themselves are written in place: `params["decoder.b"][...] = 0`.
    """

    def __init__(self, shapes: Shapes, backend: Backend, dtype: str) -> None:
        self.shapes = dict(shapes)
        with backend.scope():
            self.flat: Array = backend.xp.zeros(sum(map(prod, shapes.values())), dtype)
        self._views = self._views_of(self.flat)

    def use(self, flat: Array) -> None:
        """Take the vector `flat`, of the same size and dtype, for memory from now on, with the values that it holds."""
        self.flat, self._views = flat, self._views_of(flat)

    def _views_of(self, flat: Array) -> dict[str, Array]:
        views, start = {}, 0
        for name, shape in self.shapes.items():
            views[name] = flat[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return views

    def part(self, name: str) -> slice:
        """Where in `flat` an array is."""
        names = list(self.shapes)
        start = sum(prod(self.shapes[other]) for other in names[: names.index(name)])
        return slice(start, start + prod(self.shapes[name]))

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)
