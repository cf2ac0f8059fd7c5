//! `keras.ops.math`, and `ifft`.

use kiln_graph::ops::{self, Window};
use kiln_graph::Tensor;

use crate::Run;
use crate::call::Call;
use crate::linalg::gradient_of;

fn pair(pair: (Tensor, Tensor)) -> Vec<Tensor> {
    vec![pair.0, pair.1]
}

fn length(c: &Call<'_>, name: &str) -> Option<usize> {
    c.has(name).then(|| c.sizes(name)[0])
}

/// The second input where there is one, else by name.
fn window(c: &Call<'_>, inputs: usize) -> Window {
    match c.inputs().get(inputs) {
        Some(window) => window.clone().into(),
        None if c.has("window") => c.text("window").parse().expect("a window"),
        None => Window::None,
    }
}

fn sizes(c: &Call<'_>) -> (usize, usize, usize) {
    let size = |name| c.sizes(name)[0];
    (size("sequence_length"), size("sequence_stride"), size("fft_length"))
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("cdist", |c| vec![ops::cdist(c.x(0), c.x(1))]),
    ("erf", |c| vec![ops::erf(c.x(0))]),
    ("erfc", |c| vec![ops::erfc(c.x(0))]),
    ("erfc_log", |c| vec![ops::erfc(c.x(0)).log()]),
    ("erfinv", |c| vec![ops::erfinv(c.x(0))]),
    ("extract_sequences", |c| {
        vec![ops::extract_sequences(c.x(0), c.sizes("sequence_length")[0], c.sizes("sequence_stride")[0])]
    }),
    ("fft", |c| pair(ops::fft((c.x(0), c.x(1))))),
    ("fft2", |c| pair(ops::fft2((c.x(0), c.x(1))))),
    ("gradient_cdist", |c| gradient_of(c, &[ops::cdist(c.x(0), c.x(1))])),
    ("gradient_erfc", |c| gradient_of(c, &[ops::erfc(c.x(0))])),
    ("gradient_erfinv", |c| gradient_of(c, &[ops::erfinv(c.x(0))])),
    ("ifft", |c| pair(ops::ifft((c.x(0), c.x(1))))),
    ("ifft2", |c| pair(ops::ifft2((c.x(0), c.x(1))))),
    ("in_top_k", |c| vec![ops::in_top_k(c.x(0), c.x(1), c.sizes("k")[0])]),
    ("irfft", |c| vec![ops::irfft((c.x(0), c.x(1)), length(c, "fft_length"))]),
    ("istft", |c| {
        let (size, stride, fft) = sizes(c);
        vec![ops::istft((c.x(0), c.x(1)), size, stride, fft, length(c, "length"), window(c, 2), c.flag("center"))]
    }),
    ("logsumexp", |c| vec![ops::logsumexp(c.x(0), c.axes("axis"), c.flag("keepdims"))]),
    ("rfft", |c| pair(ops::rfft(c.x(0), length(c, "fft_length")))),
    ("rsqrt", |c| vec![ops::rsqrt(c.x(0))]),
    ("segment_max", |c| vec![ops::segment_max(c.x(0), c.x(1), length(c, "num_segments"))]),
    ("segment_min", |c| vec![ops::segment_min(c.x(0), c.x(1), length(c, "num_segments"))]),
    ("segment_prod", |c| vec![ops::segment_prod(c.x(0), c.x(1), length(c, "num_segments"))]),
    ("segment_sum", |c| vec![ops::segment_sum(c.x(0), c.x(1), length(c, "num_segments"))]),
    ("stft", |c| {
        let (size, stride, fft) = sizes(c);
        pair(ops::stft(c.x(0), size, stride, fft, window(c, 1), c.flag("center")))
    }),
    ("top_k", |c| {
        let (values, positions) = ops::top_k(c.x(0), c.sizes("k")[0]);
        vec![values, positions]
    }),
    ("view_as_complex", |c| pair(ops::view_as_complex(c.x(0)))),
    ("view_as_real", |c| vec![ops::view_as_real((c.x(0), c.x(1)))]),
];
