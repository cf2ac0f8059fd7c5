//! Hand-written WGSL of Kiln: the functions that generated kernels call, and templates of kernels that are not loops
//! over a tape. `kiln-device` fills in the `{{placeholders}}` and declares buffers `b0`, `b1` … and the uniform `params`.
//!
//! A crate of its own so that the files travel with `cargo publish`. It executes nothing; its tests parse and validate
//! every template without a GPU.

/// Elementary functions, accurate to a few ulp, the same polynomials as the native executor's.
pub const MATH: &str = include_str!("math.wgsl");

/// `kiln_report`: how a kernel reports bad data.
pub const CHECK: &str = include_str!("check.wgsl");

/// Deterministic scatter. Buffers: operand, indices, updates, result.
pub const SCATTER: &str = include_str!("scatter.wgsl");

/// Deterministic scatter into the operand. Buffers: operand and result, indices, updates.
pub const SCATTER_IN_PLACE: &str = include_str!("scatter_in_place.wgsl");

/// Running folds. Buffers: input, result.
pub const SCAN: &str = include_str!("scan.wgsl");

/// A stable sort of lines. Buffers: keys, sorted keys, positions. `{{pairs}}` is one of the two following.
pub const SORT: &str = include_str!("sort.wgsl");

/// Where a sort keeps its pairs if lines are short.
pub const SORT_LOCAL: &str = include_str!("sort_local.wgsl");

/// Where a sort keeps its pairs if lines are long.
pub const SORT_GLOBAL: &str = include_str!("sort_global.wgsl");

/// The rank of a float in a sort.
pub const SORT_RANK_F32: &str = include_str!("sort_rank_f32.wgsl");

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFERS: &str = "
@group(0) @binding(0) var<storage, read> b0: array<f32>;
@group(0) @binding(1) var<storage, read_write> b1: array<f32>;
@group(0) @binding(2) var<storage, read_write> b2: array<i32>;
@group(0) @binding(3) var<storage, read_write> reports: array<atomic<u32>>;
";

    fn validate(text: &str, values: &[(&str, &str)]) {
        let text = values
            .iter()
            .fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value));
        let text = format!("{BUFFERS}{text}");
        let module =
            naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::empty(),
        );
        if let Err(error) = validator.validate(&module) {
            panic!("{}", error.emit_to_string(&text));
        }
    }

    #[test]
    fn libraries() {
        validate(MATH, &[]);
        validate(CHECK, &[]);
    }

    #[test]
    fn scatter() {
        let text = SCATTER.replace("b1[mine]", "b2[mine]");
        let sizes = [("parts", "1u"), ("targets", "5u"), ("updates", "9u"), ("width", "7u")];
        let code = [
            ("once", ""),
            ("register", "f32"),
            ("operand", "b0[at]"),
            ("update", "b0[source]"),
            ("fold", "value + term"),
            ("store", "b1[at] = value;"),
        ];
        validate(&text, &[&sizes[..], &code].concat());
    }

    #[test]
    fn scan() {
        let sizes = [("lines", "6u"), ("inner", "2u"), ("length", "5u"), ("position", "step")];
        let code = [
            ("once", ""),
            ("register", "f32"),
            ("identity", "0.0f"),
            ("load", "b0[at]"),
            ("fold", "value + term"),
            ("store", "b1[at] = value;"),
        ];
        validate(SCAN, &[&sizes[..], &code].concat());
    }

    #[test]
    fn sort() {
        for (pairs, barrier) in [(SORT_LOCAL, "workgroupBarrier();"), (SORT_GLOBAL, "storageBarrier();")] {
            let text = format!("{SORT_RANK_F32}{}", SORT.replace("{{pairs}}", pairs));
            let sizes = [("lines", "6u"), ("length", "5u"), ("padded", "8u"), ("capacity", "8")];
            let code = [
                ("once", ""),
                ("register", "f32"),
                ("rank", "rising(value)"),
                ("key", "b0[at]"),
                ("store", "b1[at] = value;"),
                ("barrier", barrier),
            ];
            validate(&text, &[&sizes[..], &code].concat());
        }
    }
}
