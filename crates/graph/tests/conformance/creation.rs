//! Tensors made of shapes and numbers.

use kiln_graph::{DType, Tensor, ops};

use crate::Run;
use crate::call::Call;

fn dtype(c: &Call<'_>) -> Option<DType> {
    c.has("dtype").then(|| c.dtype("dtype"))
}

fn size(c: &Call<'_>, name: &str) -> Option<usize> {
    c.has(name).then(|| c.sizes(name)[0])
}

fn scalar(n: usize) -> Vec<Tensor> {
    vec![Tensor::scalar(n as i32)]
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("zeros", |c| vec![ops::zeros(&c.sizes("shape"), c.dtype("dtype"))]),
    ("ones", |c| vec![ops::ones(&c.sizes("shape"), c.dtype("dtype"))]),
    ("empty", |c| vec![ops::empty(&c.sizes("shape"), c.dtype("dtype"))]),
    ("full", |c| {
        let (shape, dtype) = (c.sizes("shape"), c.dtype("dtype"));
        vec![match c.inputs() {
            [value] => ops::full(&shape, value, dtype),
            _ => ops::full(&shape, c.float("fill_value") as f32, dtype),
        }]
    }),
    ("zeros_like", |c| vec![ops::zeros_like(c.x(0), dtype(c))]),
    ("ones_like", |c| vec![ops::ones_like(c.x(0), dtype(c))]),
    ("empty_like", |c| vec![ops::empty_like(c.x(0), dtype(c))]),
    ("full_like", |c| vec![ops::full_like(c.x(0), c.int("fill_value") as i32, dtype(c))]),
    ("eye", |c| vec![ops::eye(c.sizes("N")[0], size(c, "M"), c.int("k"), c.dtype("dtype"))]),
    ("tri", |c| vec![ops::tri(c.sizes("N")[0], size(c, "M"), c.int("k"), c.dtype("dtype"))]),
    ("identity", |c| vec![ops::identity(c.sizes("n")[0], c.dtype("dtype"))]),
    ("arange", |c| vec![ops::arange(c.float("start"), c.float("stop"), c.float("step"), c.dtype("dtype"))]),
    ("linspace", |c| {
        let (num, endpoint) = (c.sizes("num")[0], c.flag_or("endpoint", true));
        vec![ops::linspace(c.x(0), c.x(1), num, endpoint, dtype(c), c.int_or("axis", 0))]
    }),
    ("logspace", |c| {
        let (num, endpoint) = (c.sizes("num")[0], c.flag_or("endpoint", true));
        let base = c.float_or("base", 10.0) as f32;
        vec![ops::logspace(c.x(0), c.x(1), num, endpoint, base, dtype(c), c.int_or("axis", 0))]
    }),
    ("geomspace", |c| {
        let (num, endpoint) = (c.sizes("num")[0], c.flag_or("endpoint", true));
        vec![ops::geomspace(c.x(0), c.x(1), num, endpoint, dtype(c), c.int_or("axis", 0))]
    }),
    ("bartlett", |c| vec![ops::bartlett(c.sizes("x")[0])]),
    ("blackman", |c| vec![ops::blackman(c.sizes("x")[0])]),
    ("hamming", |c| vec![ops::hamming(c.sizes("x")[0])]),
    ("hanning", |c| vec![ops::hanning(c.sizes("x")[0])]),
    ("kaiser", |c| vec![ops::kaiser(c.sizes("x")[0], c.float("beta"))]),
    ("array", |c| vec![ops::array(c.x(0), dtype(c))]),
    ("convert_to_tensor", |c| vec![ops::convert_to_tensor(c.x(0), dtype(c))]),
    ("ndim", |c| scalar(ops::ndim(c.x(0)))),
    ("size", |c| scalar(ops::size(c.x(0)))),
    ("shape", |c| {
        let dims: Vec<i32> = ops::shape(c.x(0)).into_iter().map(|d| d as i32).collect();
        vec![Tensor::from_slice(&dims)]
    }),
    ("dtype", |c| vec![ops::zeros(&[0], ops::dtype(c.x(0)))]),
];
