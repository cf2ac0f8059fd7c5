//! Reductions, running folds, quantiles, counts.

use kiln_graph::ops::{self, CorrelateMode, QuantileMethod};
use kiln_graph::{DType, Tensor};

use crate::Run;
use crate::call::Call;

/// Lines of reductions over axes, of positions along one, and others.
macro_rules! table {
    (reductions: $($reduction:ident)*; quantiles: $($quantile:ident)*; runs: $($run:ident)*; $(($name:literal, $line:expr),)*) => {
        pub(crate) const TABLE: &[(&str, Run)] = &[
            $((stringify!($reduction), |c| vec![ops::$reduction(c.x(0), c.axes("axis"), c.flag("keepdims"))]),)*
            $((stringify!($quantile), |c| {
                let q = share(c);
                vec![ops::$quantile(c.x(0), &q, c.axes("axis"), method(c), c.flag("keepdims"))]
            }),)*
            $((stringify!($run), |c| vec![ops::$run(c.x(0), c.axes("axis"), dtype(c))]),)*
            $(($name, $line),)*
        ];
    };
}

table! {
    reductions: sum mean var std any all amax amin ptp argmax argmin nanargmax nanargmin nansum nanmean nanvar nanstd
        nanprod nanmax nanmin median nanmedian;
    quantiles: quantile percentile nanquantile nanpercentile;
    runs: cumsum cumprod nancumsum nancumprod;
    ("max", |c| vec![ops::max(c.x(0), c.axes("axis"), c.flag("keepdims"), initial(c))]),
    ("min", |c| vec![ops::min(c.x(0), c.axes("axis"), c.flag("keepdims"), initial(c))]),
    ("prod", |c| vec![ops::prod(c.x(0), c.axes("axis"), c.flag("keepdims"), dtype(c))]),
    ("count_nonzero", |c| vec![ops::count_nonzero(c.x(0), c.axes("axis"))]),
    ("average", |c| vec![ops::average(c.x(0), c.axes("axis"), c.inputs().get(1))]),
    ("bincount", |c| vec![ops::bincount(c.x(0), c.inputs().get(1), c.int_or("minlength", 0) as usize)]),
    ("histogram", |c| {
        let range = c.has("range").then(|| c.floats("range")).map(|r| (r[0], r[1]));
        let (counts, edges) = ops::histogram(c.x(0), c.int_or("bins", 10) as usize, range);
        vec![counts, edges]
    }),
    ("correlate", |c| {
        let mode: CorrelateMode = c.text_or("mode", "valid").parse().expect("a mode");
        vec![ops::correlate(c.x(0), c.x(1), mode)]
    }),
    ("corrcoef", |c| vec![ops::corrcoef(c.x(0))]),
    ("trapezoid", |c| {
        vec![ops::trapezoid(c.x(0), c.inputs().get(1), c.float_or("dx", 1.0), c.int_or("axis", -1))]
    }),
    ("vander", |c| {
        let n = c.has("N").then(|| c.sizes("N")[0]);
        vec![ops::vander(c.x(0), n, c.flag("increasing"))]
    }),
}

fn dtype(c: &Call<'_>) -> Option<DType> {
    c.has("dtype").then(|| c.dtype("dtype"))
}

fn initial(c: &Call<'_>) -> Option<f64> {
    c.has("initial").then(|| c.float("initial"))
}

/// `q`, a number or the second input.
fn share(c: &Call<'_>) -> Tensor {
    c.inputs().get(1).cloned().unwrap_or_else(|| match c.x(0).dtype() {
        DType::F64 => Tensor::scalar(c.float("q")),
        _ => Tensor::scalar(c.float("q") as f32),
    })
}

fn method(c: &Call<'_>) -> QuantileMethod {
    c.text_or("method", "linear").parse().expect("a method")
}
