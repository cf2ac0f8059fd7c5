"""Writes crates/device/tests/double.txt: functions of float64 at points where they are hard, computed with 200 bits.

A line holds the function, the bits of its arguments, the bits of the nearest float64 to the value, and how many units of
the last place the value lies above that. usage: double.py (needs mpmath)
"""

import math
import random
import struct
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.prec = 200
random.seed(7)
COUNT = 90


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def uniform(low, high):
    return lambda: random.uniform(low, high)


def of_any_size(low, high):
    return lambda: math.exp(random.uniform(math.log(low), math.log(high))) * random.choice([-1, 1])


def near(point, width):
    return lambda: point + random.uniform(-width, width)


def positive(source):
    return lambda: abs(source())


def multiple_of_half_pi():
    """The float64 nearest to a multiple of π/2: almost all of its digits cancel."""
    return float(mpmath.pi / 2 * random.randint(1, 1_000_000))


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def rsqrt(x):
    return 1 / mpmath.sqrt(x)


ANY = of_any_size(1e-12, 1e3)
UNARY = {
    "exp": (mpmath.exp, [uniform(-745, 709), uniform(-745, -708), ANY, uniform(-1, 1)]),
    "expm1": (mpmath.expm1, [uniform(-40, 709), near(0.3466, 0.02), uniform(-1, 1), of_any_size(1e-20, 1)]),
    "log": (mpmath.log, [uniform(0.5, 2), positive(of_any_size(1e-320, 1e300)), near(1, 1e-3), near(1.4142, 0.01)]),
    "log1p": (mpmath.log1p, [uniform(-0.999, 4), near(-0.29, 0.1), near(0.41, 0.1), positive(of_any_size(1e-20, 1e300))]),
    "rsqrt": (rsqrt, [uniform(0, 5), positive(of_any_size(1e-320, 1e300))]),
    "sin": (mpmath.sin, [uniform(-8, 8), multiple_of_half_pi, uniform(-1.6e6, 1.6e6), of_any_size(1.7e6, 1e300)]),
    "cos": (mpmath.cos, [uniform(-8, 8), multiple_of_half_pi, uniform(-1.6e6, 1.6e6), of_any_size(1.7e6, 1e300)]),
    "tanh": (mpmath.tanh, [uniform(-20, 20), near(0.05, 0.05), near(0.2, 0.1), of_any_size(1e-20, 10)]),
    "atan": (mpmath.atan, [uniform(-5, 5), near(0.45, 0.05), near(1, 0.1), of_any_size(1e-20, 1e20)]),
    "erf": (mpmath.erf, [uniform(-6, 6), near(1, 0.1), uniform(-1, 1), of_any_size(1e-320, 5)]),
    "sigmoid": (sigmoid, [uniform(-745, 40), uniform(-40, 10), near(-3, 1), of_any_size(1e-20, 1)]),
}
BINARY = {
    "pow": (
        mpmath.power,
        [
            (uniform(0, 10), uniform(-30, 30)),
            (near(1, 1e-3), uniform(-6e5, 6e5)),
            (positive(of_any_size(1e-320, 1e300)), uniform(-1, 1)),
            (uniform(1, 2), uniform(-1070, 1020)),
            (uniform(-10, 0), lambda: float(random.randint(-30, 30))),
        ],
    ),
    "atan2": (
        mpmath.atan2,
        [
            (uniform(-10, 10), uniform(-30, 30)),
            (of_any_size(1e-5, 1e5), of_any_size(1e-5, 1e5)),
            (of_any_size(1e300, 1e308), of_any_size(1e300, 1e308)),
        ],
    ),
}


def line(name, arguments, value):
    nearest = float(value)
    if not math.isfinite(nearest) or nearest == 0:
        return None
    offset = (value - mpf(nearest)) / mpf(math.ulp(nearest))
    words = [f"{bits(x):016x}" for x in [*arguments, nearest]]
    return " ".join([name, *words, f"{float(offset):.4f}"])


def main():
    lines = []
    for name, (function, sources) in UNARY.items():
        for i in range(COUNT):
            x = sources[i % len(sources)]()
            lines.append(line(name, [x], function(mpf(x))))
    for name, (function, sources) in BINARY.items():
        for i in range(COUNT):
            x, y = [source() for source in sources[i % len(sources)]]
            lines.append(line(name, [x, y], function(mpf(x), mpf(y))))
    target = Path(__file__).parents[2] / "crates/device/tests/double.txt"
    target.write_text("\n".join(filter(None, lines)) + "\n")


main()
