"""The equations of a step of each cell, and of the loops around it, as programs that a slip can change. Not the judge's
reference: that is minrnn.grading.reference, and a test holds the two together.

A line is one assignment. K stands for each of the gates named after `|`: `s_K = sigmoid(a_K) | ifo` is three lines.
Names: a_k pre-activation, s_k value of a gate, d_k its gradient, da_k the gradient of a_k, tc tanh(c). Capitals are
histories over time (T,N,·) and sums over it. A line that ends with `!` is right in all programs and is not changed.
"""

OTHER_SIGMOIDS = (
    "sigmoid = lambda a: where(a >= 0, 1 / (1 + exp(-a)), exp(a) / (1 + exp(a)))",
    "sigmoid = lambda a: 0.5 * (1 + tanh(0.5 * a))",
)

PREDICTION = """
zy = h @ Wy + by
ey = exp(zy - zy.max(axis=1, keepdims=True))
y = ey / ey.sum(axis=1, keepdims=True)
"""

RNN_FORWARD = """
a = x @ Wx + h_prev @ Wh + b
h = tanh(a)
"""
RNN_BACKWARD = """
da = dh * (1 - h ** 2)
dx = da @ Wx.T
dh_prev = da @ Wh.T
dWx = x.T @ da
dWh = h_prev.T @ da
db = da.sum(axis=0)
"""

LSTM_FORWARD = """
sigmoid = lambda a: 1 / (1 + exp(-a))
a_K = x @ Wx_K + h_prev @ Wh_K + b_K | ifog
s_K = sigmoid(a_K) | ifo
s_g = tanh(a_g)
c = s_f * c_prev + s_i * s_g
tc = tanh(c)
h = s_o * tc
"""
LSTM_BACKWARD = """
tc = tanh(c)
d_o = dh * tc
dtc = dh * s_o
from_h = dtc * (1 - tc ** 2)
dc = dc_next + from_h
d_i = dc * s_g
d_f = dc * c_prev
d_g = dc * s_i
dc_prev = dc * s_f
da_K = d_K * s_K * (1 - s_K) | ifo
da_g = d_g * (1 - s_g ** 2)
dx = da_i @ Wx_i.T + da_f @ Wx_f.T + da_o @ Wx_o.T + da_g @ Wx_g.T
dh_prev = da_i @ Wh_i.T + da_f @ Wh_f.T + da_o @ Wh_o.T + da_g @ Wh_g.T
dWx_K = x.T @ da_K | ifog
dWh_K = h_prev.T @ da_K | ifog
db_K = da_K.sum(axis=0) | ifog
"""

GRU_GATES = """
sigmoid = lambda a: 1 / (1 + exp(-a))
a_K = x @ Wx_K + h_prev @ Wh_K + b_K | rz
s_K = sigmoid(a_K) | rz
"""
GRU_AFTER_FORWARD = f"""{GRU_GATES}
q = h_prev @ Wh_n + bhn
a_n = x @ Wx_n + b_n + s_r * q
s_n = tanh(a_n)
h = (1 - s_z) * s_n + s_z * h_prev
"""
GRU_BEFORE_FORWARD = f"""{GRU_GATES}
rh = s_r * h_prev
a_n = x @ Wx_n + rh @ Wh_n + b_n
s_n = tanh(a_n)
h = (1 - s_z) * s_n + s_z * h_prev
"""
GRU_SHARES = """
dWx_K = x.T @ da_K | rzn
dWh_K = h_prev.T @ da_K | rz
"""
GRU_AFTER_BACKWARD = f"""
d_n = dh * (1 - s_z)
d_z = dh * (h_prev - s_n)
kept = dh * s_z
da_n = d_n * (1 - s_n ** 2)
d_r = da_n * q
dq = da_n * s_r
da_K = d_K * s_K * (1 - s_K) | rz
dx = da_r @ Wx_r.T + da_z @ Wx_z.T + da_n @ Wx_n.T
dh_prev = kept + da_r @ Wh_r.T + da_z @ Wh_z.T + dq @ Wh_n.T
{GRU_SHARES}
dWh_n = h_prev.T @ dq
db_K = da_K.sum(axis=0) | rzn
dbhn = dq.sum(axis=0)
"""
GRU_BEFORE_BACKWARD = f"""
d_n = dh * (1 - s_z)
d_z = dh * (h_prev - s_n)
kept = dh * s_z
da_n = d_n * (1 - s_n ** 2)
drh = da_n @ Wh_n.T
d_r = drh * h_prev
through_r = drh * s_r
da_K = d_K * s_K * (1 - s_K) | rz
dx = da_r @ Wx_r.T + da_z @ Wx_z.T + da_n @ Wx_n.T
dh_prev = kept + through_r + da_r @ Wh_r.T + da_z @ Wh_z.T
{GRU_SHARES}
dWh_n = rh.T @ da_n
db_K = da_K.sum(axis=0) | rzn
"""

FLIPPED = (  # the same with the shares exchanged: z is what is new
    ("h = (1 - s_z) * s_n + s_z * h_prev", "h = s_z * s_n + (1 - s_z) * h_prev"),
    ("d_n = dh * (1 - s_z)", "d_n = dh * s_z"),
    ("d_z = dh * (h_prev - s_n)", "d_z = dh * (s_n - h_prev)"),
    ("kept = dh * s_z", "kept = dh * (1 - s_z)"),
)


def _flipped(text: str) -> str:
    for old, new in FLIPPED:
        text = text.replace(old, new)
    return text


CELLS = {  # forward, backward, gates, states
    "rnn": (RNN_FORWARD, RNN_BACKWARD, "", "h"),
    "lstm": (LSTM_FORWARD, LSTM_BACKWARD, "ifog", "hc"),
    "gru_after": (GRU_AFTER_FORWARD, GRU_AFTER_BACKWARD, "rzn", "h"),
    "gru_before": (GRU_BEFORE_FORWARD, GRU_BEFORE_BACKWARD, "rzn", "h"),
    "gru_before_flipped": (_flipped(GRU_BEFORE_FORWARD), _flipped(GRU_BEFORE_BACKWARD), "rzn", "h"),
}
