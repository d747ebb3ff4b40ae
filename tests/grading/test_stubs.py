"""Stubs in every form courses use, and solutions that look like one and must never be called so."""

import ast
import textwrap

import pytest

from minrnn.grading.loading.stubs import is_stub

STUBS = {
    "pass": "def f(x):\n    pass",
    "docstring and ellipsis": "def f(x):\n    'Doc.'\n    ...",
    "docstring alone": "def f(x):\n    'Doc.'",
    "raise": "def f(x):\n    raise NotImplementedError",
    "raise with a text": "def f(x):\n    'Doc.'\n    raise NotImplementedError('write me')",
    "raise after what is supplied": """
        def forward(self, x, h):
            self.x = x
            self.n = self.W.dot(x)
            raise NotImplementedError
    """,
    "return None": "def f(x):\n    return None",
    "cs231n": """
        def rnn_step_forward(x, prev_h, Wx, Wh, b):
            next_h, cache = None, None
            # *****START OF YOUR CODE*****
            pass
            # *****END OF YOUR CODE*****
            return next_h, cache
    """,
    "cs231n gradients": """
        def f(dnext_h, cache):
            dx, dprev_h, dWx = None, None, None
            db = None
            return dx, dprev_h, dWx, db
    """,
    "None in a loop": """
        def f(x):
            a = x * 2
            for t in range(3):
                a_next = None
            return a_next
    """,
    "None last, after work": """
        def f(x):
            out = x * 2
            out = None
            return out
    """,
    "coursera": """
        def rnn_cell_forward(xt, a_prev, parameters):
            Wax = parameters["Wax"]
            ### START CODE HERE ### (≈2 lines)
            a_next = None
            yt_pred = None
            ### END CODE HERE ###
            cache = (a_next, a_prev, xt, parameters)
            return a_next, yt_pred, cache
    """,
    "coursera, an update from a dict": """
        def backward(da_next, cache):
            (a_next, xt) = cache
            ### START CODE HERE ###
            dtanh = None
            dxt = None
            ### END CODE HERE ###
            gradients = {"dxt": dxt}
            return gradients
    """,
    "coursera, new markers with nothing between": """
        def f(xt, a_prev):
            # a_next = None
            # YOUR CODE STARTS HERE

            # YOUR CODE ENDS HERE
            cache = (a_next, xt)
            return a_next, cache
    """,
    "range(None)": """
        def f(x):
            out = np.dot(x, x)
            for t in range(None):
                out += x
            return out
    """,
    "reversed(range(None))": """
        def f(x):
            y = x * 2
            for t in reversed(range(None)):
                y = y
            return y
    """,
    "unpacking None": "def f(cache):\n    (a, b) = None\n    y = cache[0] * 2\n    return y",
    "+= None": "def f(self, d):\n    dz = d * 2\n    self.dW += None\n    return dz",
    "for in None": "def f(g, m):\n    for a in None:\n        np.clip(a, -m, m, out=a)\n    return g",
    "zeros": """
        def f(x, h):
            N, D = x.shape
            out = np.zeros((N, D))
            cache = (x, h)
            return out, cache
    """,
    "zeros beside parts of the arguments": """
        def f(x, parameters):
            out = np.zeros(x.shape)
            xt, W = x[:, 0], parameters["W"]
            return out, (xt, W)
    """,
    "zeros_like": "def f(x, w):\n    return np.zeros_like(x), np.zeros_like(w)",
    "zeros of a shape with arithmetic": "def f(x):\n    H = x.shape[1] // 4\n    return np.zeros((x.shape[0], 2 * H))",
    "loss and grads": """
        def loss(self, features, captions):
            captions_in = captions[:, :-1]
            mask = captions_in != self._null
            W = self.params["W"]
            loss, grads = 0.0, {}
            pass
            return loss, grads
    """,
}

SOLUTIONS = {
    "the template filled in": """
        def f(x, h, Wx):
            next_h, cache = None, None
            # *****START OF YOUR CODE*****
            next_h = np.tanh(x.dot(Wx) + h)
            cache = x, h
            # *****END OF YOUR CODE*****
            return next_h, cache
    """,
    "wrong, but tried": "def f(x):\n    return np.zeros(x.shape) + x * 0",
    "one output unfinished": "def f(x):\n    dx, dw = None, None\n    dx = x * 2\n    return dx, dw",
    "None first, filled through an index": """
        def f(x, T):
            h = None
            h = np.zeros((T, 3))
            for t in range(T):
                h[t] = x[t] * 2
            return h
    """,
    "None in a branch": """
        def f(x, train):
            if train:
                mask = x > 0
            else:
                mask = None
            return mask
    """,
    "an early return": """
        def f(x, w):
            if w is None:
                return None
            w -= x
    """,
    "a refusal of one case": """
        def f(x, mode):
            if mode == "other":
                raise NotImplementedError
            return x * 2
    """,
    "a raise that was left standing": "def f(x):\n    return x * 2\n    raise NotImplementedError",
    "a refusal at the end": """
        def f(x, mode):
            if mode == "a":
                return x * 2
            raise ValueError(mode)
    """,
    "clipping in place": """
        def clip(gradients, maxValue):
            dWaa, dWax = gradients["dWaa"], gradients["dWax"]
            ### START CODE HERE ###
            for gradient in [dWaa, dWax]:
                np.clip(gradient, -maxValue, maxValue, out=gradient)
            ### END CODE HERE ###
            gradients = {"dWaa": dWaa, "dWax": dWax}
            return gradients
    """,
    "embedding": "def f(x, W):\n    out = W[x]\n    cache = x, W\n    return out, cache",
    "embedding backward": """
        def f(dout, cache):
            x, W = cache
            dW = np.zeros_like(W)
            np.add.at(dW, x, dout)
            return dW
    """,
    "first state of zeros": """
        def init_rnn_state(batch_size, num_hiddens, device):
            return (np.zeros((batch_size, num_hiddens)),)
    """,
    "in place and without return": "def zero_grad(self):\n    self.dW = np.zeros((self.h, self.d))",
    "sum over a loop": """
        def f(x):
            total = 0
            for row in x:
                total += row
            return total
    """,
    "work of another function": "def f(x, h):\n    return step(x, h)",
    "work of a method": "def f(self, x):\n    self.out = self.step(x)\n    return self.out",
    "work of a method on zeros": """
        def f(x):
            out = np.zeros(x.shape)
            out.fill_from(x)
            return out
    """,
    "None as a default of NumPy": "def f(x):\n    return np.clip(x, None, 5)",
    "one gap filled of two": """
        def f(x):
            ### START CODE HERE ###
            a = x * 2
            ### END CODE HERE ###
            ### START CODE HERE ###
            b = None
            ### END CODE HERE ###
            return a, b
    """,
    "written beside the gap": """
        def f(x):
            a = x * 2
            # YOUR CODE STARTS HERE

            # YOUR CODE ENDS HERE
            return a
    """,
    "a stub inside": """
        def f(x):
            def g():
                raise NotImplementedError
            return x * 2
    """,
    "a misspelt result": "def f(x):\n    next_h = x * 2\n    return nxt_h",
    "an argument passed on": "def f(x, w):\n    return x",
    "a constant": "def name():\n    return 'rnn'",
    "a generator": "def f(x):\n    yield np.zeros(x.shape)\n    return 0",
    "zeros filled by a comprehension": "def f(x):\n    out = [row for row in x]\n    return out, 0",
}


def stub(text):
    text = textwrap.dedent(text).strip("\n")
    return is_stub(ast.parse(text).body[0], text.split("\n"))


@pytest.mark.parametrize("form", STUBS)
def test_a_stub_is_seen(form):
    assert stub(STUBS[form])


@pytest.mark.parametrize("form", SOLUTIONS)
def test_a_solution_is_no_stub(form):
    assert not stub(SOLUTIONS[form])


def test_a_marker_in_the_next_function_is_not_this_ones():
    text = textwrap.dedent("""
        def f(x):
            y = x * 2
            return y
        def g(x):
            # START CODE HERE
            y = None
            # END CODE HERE
            return y
    """)
    first, second = ast.parse(text).body
    assert not is_stub(first, text.split("\n"))
    assert is_stub(second, text.split("\n"))


def test_a_long_chain_of_names_ends():
    lines = ["def f(x):", *(f"    a{k} = a{k + 1}" for k in range(2000)), "    a2000 = x", "    return a0"]
    assert not stub("\n".join(lines))
