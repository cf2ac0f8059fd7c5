"""Distribution functions of `kiln_graph::random`'s distributions at their quantiles, from SciPy, as a table in Rust.

    python make_random.py | rustfmt --config-path ../.. > ../../crates/graph/tests/random/table.rs
"""
import numpy as np
from scipy import stats

CELLS = 32
DISTRIBUTIONS = {
    "uniform": stats.uniform(-2, 5),
    "normal": stats.norm(1, 2),
    "truncated_normal": stats.truncnorm(-2, 2, loc=0.5, scale=2),
    "exponential": stats.expon(scale=1.5),
    "laplace": stats.laplace(-1, 0.5),
    "gumbel": stats.gumbel_r(0.3, 2),
    "gamma_0_1": stats.gamma(0.1),
    "gamma_1": stats.gamma(1),
    "gamma_2_5": stats.gamma(2.5),
    "gamma_300": stats.gamma(300),
    "beta_half": stats.beta(0.5, 0.5),
    "beta_2_5": stats.beta(2, 5),
    "beta_tiny": stats.beta(0.05, 0.1),
    "binomial_10": stats.binom(10, 0.3),
    "binomial_100_small": stats.binom(100, 0.02),
    "binomial_40": stats.binom(40, 0.25),
    "binomial_100": stats.binom(100, 0.5),
    "binomial_1000": stats.binom(1000, 0.93),
    "binomial_million": stats.binom(1_000_000, 0.4),
    "poisson_half": stats.poisson(0.5),
    "poisson_9": stats.poisson(9.9),
    "poisson_10": stats.poisson(10.5),
    "poisson_100": stats.poisson(100),
    "poisson_million": stats.poisson(1_000_000),
    "randint": stats.randint(-3, 8),
    "categorical": stats.rv_discrete(values=([0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4])),
}

print("//! Written by `tests/golden/make_random.py`: points and the distribution function there, from SciPy.\n")
print("/// A distribution: mean, variance, the χ² that its cells exceed with probability 10⁻³, and (x, F(x)) with F below 1.")
print("pub(crate) struct Known {")
for field, kind in (("name", "&'static str"), ("mean", "f64"), ("variance", "f64"), ("limit", "f64"),
                    ("points", "&'static [(f32, f64)]")):
    print(f"    pub(crate) {field}: {kind},")
print("}\n\npub(crate) const TABLE: &[Known] = &[")
for name, known in DISTRIBUTIONS.items():
    points = []
    for x in known.ppf(np.arange(1, CELLS) / CELLS):
        x = np.float32(x)
        if name.startswith("beta") and not 1e-30 < x < 0.999:
            continue  # what float32 cannot tell from 0 or 1
        f = float(known.cdf(np.float64(x)))
        # Cells of a discrete distribution hold at least 1 in 2000.
        if 5e-4 < f < 1 - 5e-4 and (not points or (x > points[-1][0] and f - points[-1][1] > 5e-4)):
            points.append((x, f))
    mean, variance = (float(v) for v in known.stats(moments="mv"))
    print(f"    Known {{\n        name: \"{name}\",\n        mean: {mean!r},\n        variance: {variance!r},")
    print(f"        limit: {float(stats.chi2.isf(1e-3, len(points)))!r},\n        points: &[")
    for x, f in points:
        print(f"            ({str(x) if 'e' in str(x) or '.' in str(x) else str(x) + '.0'}, {f!r}),")
    print("        ],\n    },")
print("];")
