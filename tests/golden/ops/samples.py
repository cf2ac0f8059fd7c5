"""Inputs that the case files of elementwise operations share: special values, all kinds of bits, shapes."""
import numpy as np

SPECIAL = np.array(
    [0.0, 1e-45, 3e-42, 1e-40, 1.17549435e-38, 1e-30, 1e-10, 0.1, 0.25, 0.5, 0.99999994, 1.0, 1.0000001, 1.5, 2.0, 2.5,
     3.0, 7.75, 8.0, 27.0, 88.0, 88.7, 88.73, 89.4, 89.5, 100.0, 103.9, 1000.0, 1e4, 8388607.5, 8388608.0, 1.6777216e7,
     1e10, 1e30, 3.4e38, np.inf, np.nan], np.float32)
SPECIAL = np.concatenate([SPECIAL, -SPECIAL])
# The numbers for pairs of which every one meets every other.
FEW = np.array([0.0, 1e-45, 1e-38, 1e-3, 0.3, 1.0, 1.0000001, 2.0, 2.5, 3.0, 10.0, 1e10, 3.4e38, np.inf, np.nan], np.float32)
FEW = np.concatenate([FEW, -FEW])
LEFT, RIGHT = (a.ravel() for a in np.meshgrid(FEW, FEW))
INTS = np.array([0, 1, 2, 3, 5, 7, 12, 100, 255, 65536, 2147483647, -1, -2, -3, -7, -12, -100, -2147483647, -2147483648], np.int32)
UINTS = np.array([0, 1, 2, 3, 5, 7, 12, 100, 255, 65536, 2147483647, 2147483648, 4294967295], np.uint32)
BYTES = np.array([0, 1, 2, 3, 5, 7, 12, 100, 127, 128, 255], np.uint8)
BOOLS = np.array([False, True])
SHAPES = [(), (1,), (0,), (7,), (2, 0, 3), (3, 1, 5), (2, 3, 4)]
# Shapes that broadcast.
PAIRS = [((), (3,)), ((3, 1), (1, 4)), ((2, 3), (3,)), ((0, 3), (1, 3)), ((5,), (1,)), ((1, 1, 2), (4, 1))]


def random(seed):
    return np.random.default_rng(seed)


def bits(count, seed):
    """Floats of uniformly random bits."""
    return random(seed).integers(0, 2**32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)


def normal(shape, seed, scale=1.0):
    return (random(seed).standard_normal(shape) * scale).astype(np.float32)


def between(low, high, shape, seed):
    return random(seed).uniform(low, high, shape).astype(np.float32)


def distinct(shape, seed, low=-2.0, high=2.0):
    """Different numbers in no order, none near another."""
    count = int(np.prod(shape))
    return random(seed).permutation(np.linspace(low, high, count) + 0.01).reshape(shape).astype(np.float32)


def wide(seed):
    """Special values, all kinds of bits, and ordinary numbers."""
    return np.concatenate([SPECIAL, bits(150, seed), normal(100, seed + 1, 3.0), between(-1, 1, 60, seed + 2)])


def pairs_of(low, high, seed):
    return [(between(low, high, a, seed), between(low, high, b, seed + 1)) for a, b in PAIRS]
