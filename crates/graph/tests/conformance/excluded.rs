//! Names of `keras.ops` and `keras.random` without golden cases, each with the reason.

const RANDOM: &str = "`tests/random` compares distributions with SciPy's";

/// Names that have no meaning in Rust, or that another test file covers.
pub(crate) const EXCLUDED: &[(&str, &str)] = &[
    ("convert_to_numpy", "there is no NumPy here; `Tensor::to_vec` reads a value"),
    ("is_tensor", "the type says it"),
    ("associative_scan", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("cond", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("fori_loop", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("map", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("scan", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("switch", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("vectorized_map", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("while_loop", "takes functions; tests/control_flow compares it with the unrolled computation"),
    ("SeedGenerator", RANDOM),
    ("beta", RANDOM),
    ("binomial", RANDOM),
    ("categorical", RANDOM),
    ("dropout", RANDOM),
    ("gamma", RANDOM),
    ("normal", RANDOM),
    ("randint", RANDOM),
    ("shuffle", RANDOM),
    ("truncated_normal", RANDOM),
    ("uniform", RANDOM),
    ("vectorize", "a Rust closure over tensors works on whole tensors already"),
];
