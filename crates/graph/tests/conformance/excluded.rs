//! Names of Keras without golden cases, each with the reason.

const RANDOM: &str = "`tests/random` compares distributions with SciPy's";

/// Names that have no meaning in Rust, or that another test file covers.
pub(crate) const EXCLUDED: &[(&str, &str)] = &[
    ("convert_to_numpy", "there is no NumPy here; `Tensor::to_vec` reads a value"),
    ("is_tensor", "the type says it"),
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

/// Names of `keras.tree`: what has their place in [`kiln_graph::tree`], or why nothing has.
pub(crate) const TREE: &[(&str, &str)] = &[
    ("MAP_TO_NONE", "a sign to `traverse`, which is not here"),
    ("assert_same_paths", "`tree::assert_same_paths`"),
    ("assert_same_structure", "`tree::assert_same_structure`"),
    ("flatten", "`tree::flatten`"),
    ("flatten_with_path", "`tree::flatten_with_path`"),
    ("is_nested", "the type of a value says it"),
    ("lists_to_tuples", "a list and a tuple are values of different types, and neither stands for the other"),
    (
        "map_shape_structure",
        "tells tuples that are shapes from others; here shapes are of a type of their own, and `tree::map_structure` gives \
         the tensors, which have them",
    ),
    ("map_structure", "`tree::map_structure`, and `tree::map_structures` of several"),
    (
        "map_structure_up_to",
        "a structure within another is a field or an item of it, to which `tree::map_structure` applies",
    ),
    ("pack_sequence_as", "`tree::pack_sequence_as`"),
    ("traverse", "replaces inner structures by others, of a type that is not known; a `match` does it"),
];
