"""Golden cases of `keras.ops.math`, and of `ifft` (`tf.signal`)."""
import numpy as np, scipy.special as special
from base import Group, keras

group = Group("math")
rng = np.random.default_rng(31)
F = np.float32
T = keras.ops.convert_to_tensor


def normal(*shape):
    return rng.standard_normal(shape).astype(F)


def away(*shape):
    """Uniform, and no two alike."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) / max(size, 1) * 4 - 2 + 0.013).astype(F)


# Error functions ------------------------------------------------------------------------------------------------------
ends = np.array([0.0, -0.0, 1e-40, -1e-30, 1e-8, 0.39, 0.4, 0.41, 1, -1, 3, 5.5, 9, -9, 10.1, 12, np.inf, -np.inf, np.nan], F)
for x in (ends, np.linspace(-4, 4, 401).astype(F)):
    group.case("erf", [x], outputs=[special.erf(x.astype(float))])
group.case("erf", [normal(3, 4)], grad=True)
group.case("erfc", [ends], outputs=[special.erfc(ends.astype(float))])
# Relative accuracy in the tail: the logarithm shows it.
far = np.linspace(0.3, 9, 300).astype(F)
group.case("erfc_log", [far], outputs=[np.log(special.erfc(far.astype(float)))], tol="ulp:8")
group.case("erfc", [np.linspace(-5, 5, 501).astype(F)], outputs=[special.erfc(np.linspace(-5, 5, 501).astype(F).astype(float))])
group.case("erfc", [np.array([-2.0, -0.3, 0.1, 0.39, 0.7, 1.5, 3.0], F)], outputs=[special.erfc(np.array([-2.0, -0.3, 0.1, 0.39, 0.7, 1.5, 3.0], F).astype(float))], grad=True)
group.case("erfc", [np.array([-1, 0, 2], np.int32)], outputs=[special.erfc([-1.0, 0, 2])])
inside = np.concatenate([np.linspace(-0.999, 0.999, 501), [1e-30, -1e-8, 0.0, -0.0, 1 - 2**-24, -1 + 2**-24, 0.9966, 0.9967, 1, -1, 1.5, -2, np.nan]]).astype(F)
group.case("erfinv", [inside], outputs=[special.erfinv(inside.astype(float))])
group.case("erfinv", [np.array([-0.95, -0.3, 0.0, 0.2, 0.7, 0.99, 0.998], F)], outputs=[special.erfinv(np.array([-0.95, -0.3, 0.0, 0.2, 0.7, 0.99, 0.998], F).astype(float))], grad=True)
group.case("erfinv", [np.zeros((0, 2), F)])
group.case("rsqrt", [np.array([1, 4, 0.3, 1e-30, 1e30, np.inf, 0.0, -1, np.nan], F)])
group.case("rsqrt", [np.abs(normal(2, 3)) + F(0.5)], grad=True)

weight = lambda x: np.cos(0.7 * np.arange(x.size)).reshape(x.shape)
x = np.array([-0.95, -0.3, 0.0, 0.2, 0.7, 0.99], F)
slope = np.sqrt(np.pi) / 2 * np.exp(special.erfinv(x.astype(float)) ** 2)
group.case("gradient_erfinv", [x], outputs=[slope * weight(x)], tol="ulp:16", grad=True)
group.case("gradient_erfc", [x * 2], outputs=[-2 / np.sqrt(np.pi) * np.exp(-((2 * x).astype(F).astype(float) ** 2)) * weight(x)], tol="ulp:8", grad=True)

# Log-sum-exp ----------------------------------------------------------------------------------------------------------
x = normal(3, 4, 5)
for args in [{}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": [0, 2]}, {"axis": [-1, 0], "keepdims": True}]:
    group.case("logsumexp", [x], args, grad=True)
group.case("logsumexp", [np.array([[1000, 1000.5], [-1000, -1001], [-np.inf, -np.inf], [np.inf, 0], [np.nan, 1]], F)], {"axis": 1},
           outputs=[special.logsumexp(np.array([[1000, 1000.5], [-1000, -1001], [-np.inf, -np.inf], [np.inf, 0], [np.nan, 1]]), axis=1)])
group.case("logsumexp", [np.zeros((2, 0), F)], {"axis": 1}, outputs=[np.full(2, -np.inf)])

# Choosing -------------------------------------------------------------------------------------------------------------
group.case("top_k", [away(3, 7)], {"k": 3}, tol="exact", grad=True)
group.case("top_k", [away(2, 3, 5)], {"k": 5}, tol="exact")
group.case("top_k", [np.array([5, 2, 7, 1, 9, 3], np.int32)], {"k": 3}, tol="exact")
group.case("top_k", [np.array([[1, 3, 3, 2, 3]], F)], {"k": 4}, tol="exact")
group.case("top_k", [away(2, 1)], {"k": 1}, tol="exact")
group.case("top_k", [away(2, 4)], {"k": 0}, tol="exact", outputs=[np.zeros((2, 0), F), np.zeros((2, 0), np.int32)])
group.case("in_top_k", [np.array([2, 5, 3], np.int32), np.array([[0.1, 0.4, 0.6, 0.9, 0.5], [0.1, 0.7, 0.9, 0.8, 0.3], [0.1, 0.6, 0.9, 0.9, 0.5]], F)], {"k": 3}, tol="exact")
predictions = away(20, 6)
for k in (1, 2, 6, 9):
    group.case("in_top_k", [rng.integers(0, 6, 20).astype(np.int32), predictions], {"k": k}, tol="exact")
group.case("in_top_k", [np.array([1, 0], np.int32), np.array([[0.1, np.nan, 0.5], [0.3, 0.2, 0.5]], F)], {"k": 2}, tol="exact")

# Distances ------------------------------------------------------------------------------------------------------------
group.case("cdist", [normal(4, 3), normal(5, 3)], grad=True)
group.case("cdist", [normal(2, 1, 3, 2), normal(4, 1, 2)])
x = normal(3, 2)
# Two of the distances are 0.
difference = x[:, None].astype(float) - x[None, 1:].astype(float)
distance = np.linalg.norm(difference, axis=-1)
share = (weight(distance) / np.where(distance > 0, distance, 1))[..., None] * difference
group.case("gradient_cdist", [x, x[1:]], outputs=[share.sum(1), -share.sum(0)], tol="rel:1e-6")
y = normal(2, 2)
difference = x[:, None].astype(float) - y[None].astype(float)
distance = np.linalg.norm(difference, axis=-1)
share = (weight(distance) / distance)[..., None] * difference
group.case("gradient_cdist", [x, y], outputs=[share.sum(1), -share.sum(0)], tol="rel:1e-6", grad=True)
group.case("cdist", [normal(3, 0), normal(2, 0)], outputs=[np.zeros((3, 2))])
group.case("cdist", [normal(0, 3), normal(2, 3)], outputs=[np.zeros((0, 2))])
group.case("cdist", [100 + normal(6, 20), 100 + normal(7, 20)])

# Segments -------------------------------------------------------------------------------------------------------------
def segments(op, data, ids, count):
    start, fold = {"segment_sum": (0, np.add), "segment_prod": (1, np.multiply), "segment_max": (-np.inf, np.maximum), "segment_min": (np.inf, np.minimum)}[op]
    if data.dtype != F and op in ("segment_max", "segment_min"):
        info = np.iinfo(data.dtype)
        start = info.min if op == "segment_max" else info.max
    out = np.full((count, *data.shape[1:]), start, float if data.dtype == F else data.dtype)
    known = (ids >= 0) & (ids < count)
    fold.at(out, ids[known], data[known])
    return out


for op in ("segment_sum", "segment_prod", "segment_max", "segment_min"):
    def case(data, ids, count, tol="ulp:4", grad=False, **args):
        group.case(op, [data, np.asarray(ids, np.int32)], args, outputs=[segments(op, data, np.asarray(ids, int), count)], tol=tol, grad=grad)

    smooth = away(6, 3) + F(0.005)
    case(smooth, [0, 0, 2, 1, 2, 2], 3, grad=True, num_segments=3)
    case(smooth, [4, -1, 0, 9, 0, 4], 6, num_segments=6)
    case(smooth, [1, 1, 1, 3, 3, 5], 6)
    case(away(8), [3, 1, 0, 3, 3, 1, 0, 3], 4, sorted=False, num_segments=4)
    case(away(5, 2, 2), [0, 1, 1, 2, 2], 3, sorted=True, num_segments=3)
    case(np.array([1, 2, 10, 20, 100, 200], np.int32), [0, 0, 1, 1, 2, 2], 3, tol="exact", num_segments=3)
    case(np.array([1, -2, 10], np.int32), [2, 0, 2], 4, tol="exact", num_segments=4)
    case(np.zeros((0, 2), F), [], 2, num_segments=2)
    case(normal(200, 4), rng.integers(0, 9, 200), 9, tol="rel:1e-6", num_segments=9)

# Signals --------------------------------------------------------------------------------------------------------------
def parts(z):
    return [np.real(z), np.imag(z)]


def pair(*shape):
    return [normal(*shape), normal(*shape)]


def complex_of(x):
    return x[0].astype(float) + 1j * x[1].astype(float)


near = dict(tol="rel:1e-6")
for shape in [(1,), (2,), (5,), (8,), (3, 12), (2, 64), (67,), (2, 96), (128,), (257,), (2, 2, 100), (1000,), (1009,), (2048,), (2, 521), (1042,), (4096,), (6000,)]:
    x = pair(*shape)
    group.case("fft", x, outputs=parts(np.fft.fft(complex_of(x))), **near)
    if shape[-1] in (5, 67, 96, 128, 521, 1000):
        group.case("ifft", x, outputs=parts(np.fft.ifft(complex_of(x))), **near)
for n in (6, 70):
    x = pair(2, n)
    group.case("fft", x, outputs=parts(np.fft.fft(complex_of(x))), grad=True, **near)
    group.case("ifft", x, outputs=parts(np.fft.ifft(complex_of(x))), grad=True, **near)
for shape in [(2, 2), (3, 4), (2, 5, 6), (66, 3), (16, 130)]:
    x = pair(*shape)
    group.case("fft2", x, outputs=parts(np.fft.fft2(complex_of(x))), grad=shape == (3, 4), **near)
    group.case("ifft2", x, outputs=parts(np.fft.ifft2(complex_of(x))), grad=shape == (3, 4), **near)
for n, length in [(1, None), (2, None), (5, None), (5, 3), (5, 8), (64, None), (65, None), (128, None), (100, 256), (1000, None), (1000, 512), (7, 300), (3, 521), (2000, 2048)]:
    x = normal(2, n)
    args = {} if length is None else {"fft_length": length}
    group.case("rfft", [x], args, outputs=parts(np.fft.rfft(x.astype(float), length)), grad=n == 5, **near)
for bins, length in [(2, None), (3, None), (4, 7), (4, 6), (4, 3), (4, 12), (33, None), (65, 129), (65, None), (257, 512), (300, 521), (501, None)]:
    x = pair(2, bins)
    args = {} if length is None else {"fft_length": length}
    group.case("irfft", x, args, outputs=[np.fft.irfft(complex_of(x), length)], grad=bins == 4, **near)

for n, stride, size, args in [(6, 2, 3, {}), (1, 1, 1, {}), (2, 1, 2, {})]:
    x = normal(2, 9) if n > 1 else normal(4)
    group.case("extract_sequences", [x], {"sequence_length": n, "sequence_stride": stride}, tol="exact", grad=True)
group.case("extract_sequences", [np.arange(12, dtype=np.int32).reshape(2, 6)], {"sequence_length": 3, "sequence_stride": 2}, tol="exact")
group.case("extract_sequences", [normal(2, 3, 20)], {"sequence_length": 4, "sequence_stride": 5}, tol="exact")


def window_of(window, length):
    k = np.arange(length) / length
    return {"hann": 0.5 - 0.5 * np.cos(2 * np.pi * k), "hamming": 0.54 - 0.46 * np.cos(2 * np.pi * k)}[window]


def whole_window(window, length, size):
    """The window in the middle of the transform."""
    if window is None:
        return np.ones(size)
    values = window_of(window, length) if isinstance(window, str) else window.astype(float)
    before = (size - length) // 2
    return np.pad(values, (before, size - length - before))


def stft(x, length, stride, size, window, center):
    x = x.astype(float)
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(size // 2, size // 2)], mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(x, size, -1)[..., ::stride, :]
    return np.fft.rfft(frames * whole_window(window, length, size))


def istft(x, length, stride, size, out, window, center):
    frames, w = np.fft.irfft(complex_of(x), size), whole_window(window, length, size)
    covered = (frames.shape[-2] - 1) * stride + size
    total, weight = np.zeros((*frames.shape[:-2], covered)), np.zeros(covered)
    for t in range(frames.shape[-2]):
        total[..., t * stride:t * stride + size] += frames[..., t, :] * w
        weight[t * stride:t * stride + size] += w * w
    total /= np.where(weight > 1e-10, weight, 1)
    start = size // 2 if center else 0
    inner = total[..., start:]
    wanted = out if out is not None else covered - 2 * start
    return np.pad(inner, [(0, 0)] * (inner.ndim - 1) + [(0, max(0, wanted - inner.shape[-1]))])[..., :wanted]


for n, length, stride, size, window, center in [
    (40, 8, 4, 8, "hann", True), (40, 8, 4, 8, "hann", False), (37, 6, 3, 9, "hamming", True), (37, 6, 5, 10, None, False),
    (30, 5, 2, 8, None, True), (300, 64, 16, 128, "hann", True), (5, 3, 2, 3, "hann", True), (600, 100, 50, 160, "hamming", False),
]:
    x = normal(2, n)
    args = {"sequence_length": length, "sequence_stride": stride, "fft_length": size, "window": window, "center": center}
    reference = stft(x, length, stride, size, window, center)
    group.case("stft", [x], args, outputs=parts(reference), grad=n in (37, 30), **near)
    if length % 2 == 0:  # Keras computes this in float32; TensorFlow's windows of odd length are not periodic.
        given = keras.ops.stft(T(x), **args)
        assert all(np.abs(np.asarray(g) - r).max() < 1e-4 for g, r in zip(given, parts(reference)))
    z = [a.astype(F) for a in parts(reference)]
    for out in (None, n - 3):
        back = istft(z, length, stride, size, out, window, center)
        group.case("istft", z, {**args, "length": out}, outputs=[back], grad=n == 37 and out is None, **near)
    if window is not None and n > 30:
        given = np.asarray(keras.ops.istft((T(z[0]), T(z[1])), length=n - 3, **args))
        wanted = istft(z, length, stride, size, n - 3, window, center)[..., :given.shape[-1]]
        middle = slice(size, wanted.shape[-1] - size)
        assert np.abs(given - wanted)[..., middle].max(initial=0) < 1e-3, (n, np.abs(given - wanted).max())
own = (0.5 + rng.random(6)).astype(F)
x = normal(25)
args = {"sequence_length": 6, "sequence_stride": 3, "fft_length": 8, "center": True}
group.case("stft", [x, own], args, outputs=parts(stft(x, 6, 3, 8, own, True)), **near)
z = normal(3, 4, 2)
group.case("view_as_complex", [z], outputs=[z[..., 0], z[..., 1]], tol="exact", grad=True)
group.case("view_as_real", [z[..., 0], z[..., 1]], outputs=[z], tol="exact", grad=True)

group.write()
