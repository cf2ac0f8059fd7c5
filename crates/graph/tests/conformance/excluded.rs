//! Names of `keras.ops` and `keras.random` without golden cases, each with the reason.

/// Names that have no meaning in Rust, or that another test file covers.
pub(crate) const EXCLUDED: &[(&str, &str)] = &[
    ("convert_to_numpy", "there is no NumPy here; `Tensor::to_vec` reads a value"),
    ("is_tensor", "the type says it"),
    ("vectorize", "a Rust closure over tensors works on whole tensors already"),
];
