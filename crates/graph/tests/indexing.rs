//! Indices as Rust users write them, errors of indexing and arranging, and what of them can be traced.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kiln_graph::ops::{self, Ellipsis, NewAxis, PadMode, Side, Span};
use kiln_graph::{DType, Device, Function, Tensor, gradients, s, with_device};

fn cube() -> Tensor {
    Tensor::range(24).reshape(&[2, 3, 4])
}

#[track_caller]
fn holds(x: &Tensor, shape: &[usize], values: &[i32]) {
    assert_eq!(x.shape(), shape, "{x:?}");
    assert_eq!(x.to_vec::<i32>().expect("values"), values);
}

#[test]
fn tuples_and_items() {
    let x = cube();
    holds(&x.index((1, 1..3, -1)), &[2], &[19, 23]);
    holds(&x.index((.., .., 0)), &[2, 3], &[0, 4, 8, 12, 16, 20]);
    holds(&x.index((Ellipsis, 3)), &[2, 3], &[3, 7, 11, 15, 19, 23]);
    holds(&x.index((0, 2..)), &[1, 4], &[8, 9, 10, 11]);
    holds(&x.index((0, ..1)), &[1, 4], &[0, 1, 2, 3]);
    holds(&x.index((0, 1..=1)), &[1, 4], &[4, 5, 6, 7]);
    holds(&x.index((0, ..=-2, 0)), &[2], &[0, 4]);
    holds(&x.index((0, -2..=-1, 0)), &[2], &[4, 8]);
    holds(&x.index((0usize, 0i64, NewAxis)), &[1, 4], &[0, 1, 2, 3]);
    holds(&x.index((0, Span::from(..).step(-2), 0)), &[2], &[8, 0]);
    holds(&x.index((1, [2, 0], [0, 1])), &[2], &[20, 13]);
    holds(&x.index((0, [true, false, true], 1)), &[2], &[1, 9]);
    holds(&x.index((0, 0, vec![3, -4])), &[2], &[3, 0]);
    holds(&x.index((0, 1, &Tensor::from_slice(&[0u8, 3]))), &[2], &[4, 7]);
    holds(&x.index(()), &[2, 3, 4], &(0..24).collect::<Vec<i32>>());
    assert_eq!(x.index(1).shape(), [3, 4]);
    assert_eq!(x.index(..1).shape(), [1, 3, 4]);
}

#[test]
fn the_macro() {
    let x = cube();
    let (rows, n) = (Tensor::from_slice(&[1, 0]), 1);
    holds(&x.index(s![0, 1, 2]), &[], &[6]);
    holds(&x.index(s![.., ::2, -1]), &[2, 2], &[3, 11, 15, 23]);
    holds(&x.index(s![..., ..2;-1]), &[2, 3, 1], &[3, 7, 11, 15, 19, 23]);
    holds(&x.index(s![n, n + 1, 1..4;2]), &[2], &[21, 23]);
    holds(&x.index(s![&rows, n, 0..2]), &[2, 2], &[16, 17, 4, 5]);
    assert_eq!(x.index(s![new_axis, .., new_axis, ..., 0]).shape(), [1, 2, 1, 3]);
    assert_eq!(x.index(s![.., .., ..,]).shape(), [2, 3, 4]);
    assert_eq!(x.index(s![]).shape(), [2, 3, 4]);
}

#[test]
fn a_place_out_of_range_is_an_error_of_the_run() {
    let x = cube();
    let at = |place: i32| Tensor::from_slice(&[0, place]);
    for good in [-2, -1, 0, 1] {
        assert!(x.index((at(good), 0)).to_vec::<i32>().is_ok());
    }
    for bad in [2, -3, i32::MAX, i32::MIN] {
        let calls = [
            ("index", x.index((at(bad), 0))),
            ("take", ops::take(&x, &at(bad), 0)),
            ("gather", ops::gather(&x, &at(bad), 0, 0)),
            ("gather_nd", ops::gather_nd(&x, &at(bad).reshape(&[2, 1]), 0)),
            ("at", x.at((at(bad), 0)).set(0)),
            (
                "scatter_update",
                ops::scatter_update(&x, &at(bad).reshape(&[2, 1]), &x, kiln_graph::ScatterOp::Set),
            ),
            ("slice", ops::slice(&x, &Tensor::from_slice(&[0, 0, bad]), &[1, 1, 4])),
        ];
        for (op, y) in calls {
            let error = y.to_vec::<i32>().expect_err(op).to_string();
            assert!(error.contains(op) && error.contains(&bad.to_string()), "{op} {bad}: {error}");
        }
    }
}

macro_rules! rows {
    ($($call:expr => $($word:literal)+;)*) => { vec![$(($call, &[$($word),+] as &'static [&'static str])),*] };
}

#[test]
fn bad_calls_say_what_is_wrong() {
    let (x, f, none) = (cube(), Tensor::ones(&[2, 3]), Tensor::zeros(&[0]));
    let index = Tensor::from_slice(&[0, 1]);
    let mask = Tensor::from_slice(&[true, false, true]);
    let of = |shape: &[usize]| Tensor::full(shape, 0.0, DType::I32);
    let wrong = rows! {
        x.index(2) => "[index]" "index 2 is out of range" "extent 2";
        x.index((0, -4)) => "[index]" "-4";
        x.index((0, 0, 0, 0)) => "[index]" "[2, 3, 4]" "received 4";
        x.index((Ellipsis, Ellipsis)) => "[index]" "one ellipsis";
        x.index(s![..;0]) => "[index]" "step" "0";
        x.index(&f) => "[index]" "float32";
        x.index(&mask) => "[index]" "mask of shape [3]" "[2";
        x.index((&index, [0, 1, 2])) => "[index]" "[[2], [3]] do not broadcast";
        none.index([0]) => "[index]" "extent 0";
        x.at(5).set(1) => "[at]" "index 5";
        x.at(0).set(of(&[5])) => "[at]" "[5]" "[3, 4]";
        mask.at(0).add(1) => "[at]" "bool";
        ops::take(&x, &index, 3) => "[take]" "axis 3";
        ops::gather(&x, &index, 0, 1) => "[gather]" "[2, 3, 4]" "[2]";
        ops::gather_nd(&x, &of(&[2, 4]), 0) => "[gather_nd]" "[2, 4]";
        ops::scatter(&index.reshape(&[2, 1]), &of(&[3]), &[4]) => "[scatter]" "[3]" "[2]";
        ops::scatter_update(&x, &of(&[]), &x, kiln_graph::ScatterOp::Set) => "[scatter_update]" "[]";
        ops::slice(&x, [0, 0, 3], &[1, 1, 2]) => "[slice]" "[0, 0, 3]" "[2, 3, 4]";
        ops::slice_update(&x, [0, 0], &x) => "[slice_update]" "[0, 0]";
        ops::take_along_axis(&x, &index, 0) => "[take_along_axis]" "[2]" "[2, 3, 4]";
        ops::append(&f, &none, 0) => "[append]" "[2, 3]" "[0]";
        ops::concatenate(&[], 0) => "[concatenate]" "at least one";
        ops::stack(&[f.clone(), none.clone()], 0) => "[stack]" "[1, 2, 3]";
        ops::hstack(&[f.clone(), none.clone()]) => "[hstack]";
        ops::expand_dims(&f, [0, 0]) => "[expand_dims]" "twice";
        ops::moveaxis(&f, [0, 1], 0) => "[moveaxis]" "2 axes" "1 places";
        ops::swapaxes(&f, 0, 2) => "[swapaxes]" "2";
        ops::transpose(&f, [0, 0]) => "[transpose]" "[0, 0]";
        ops::repeat(&f, [1, 2, 3], 0) => "[repeat]" "2 counts, received 3";
        ops::repeat(&f, usize::MAX, 0) => "[repeat]" "overflow";
        ops::repeat(&f, [usize::MAX, 1], 0) => "[repeat]" "2³¹ − 1";
        ops::tile(&f, &[usize::MAX, 1]) => "[tile]" "overflow";
        ops::roll(&f, &[1, 2, 3], [0, 1]) => "[roll]" "3 shifts" "2 axes";
        ops::roll(&f, &[1], 2) => "[roll]" "axis 2";
        ops::rot90(&f, 1, (0, 0)) => "[rot90]" "twice";
        ops::meshgrid(std::slice::from_ref(&f), ops::GridIndexing::Xy)[0].clone() => "[meshgrid]" "[2, 3]";
        ops::diff(&f, 1, 2) => "[diff]" "axis 2";
        ops::diag(&x, 0) => "[diag]" "[2, 3, 4]";
        ops::diag(&none, i64::MIN) => "[diag]" "expected a diagonal";
        ops::diagonal(&f, 0, 1, 1) => "[diagonal]" "twice";
        ops::trace(&none, 0, 0, 1) => "[trace]" "axis 1";
        ops::tril(&Tensor::scalar(1.0f32), 0) => "[tril]" "scalar";
        ops::pad(&none, 1, PadMode::Edge) => "[pad]" "no elements";
        ops::pad(&f, [(1, 1), (1, 1), (1, 1)], PadMode::Wrap) => "[pad]" "2 pairs";
        ops::pad(&f, usize::MAX, PadMode::Reflect) => "[pad]" "cannot grow";
        ops::split(&f, 2, 1)[1].clone() => "[split]" "3" "array_split";
        ops::split(&f, 0, 1)[0].clone() => "[split]" "at least one";
        ops::array_split(&f, usize::MAX, 1)[0].clone() => "[array_split]" "at most";
        ops::vsplit(&none, 1)[0].clone() => "[vsplit]" "2 axes";
        ops::dsplit(&f, 1)[0].clone() => "[dsplit]" "3 axes";
        ops::unstack(&f, 3, 0)[2].clone() => "[unstack]" "extent 3" "[2, 3]";
        ops::argpartition(&f, 3, -1) => "[argpartition]" "kth 3";
        ops::searchsorted(&f, &f, ops::Side::Left) => "[searchsorted]" "[2, 3]";
        ops::select(std::slice::from_ref(&mask), &[], 0) => "[select]" "0 and 1";
        ops::unravel_index(&index, &[1 << 20, 1 << 20])[0].clone() => "[unravel_index]" "int32";
        ops::nonzero(&Tensor::scalar(1.0f32))[0].clone() => "[nonzero]" "scalar";
        ops::unique(&f, 2, None, 0.0).values => "[unique]" "axis 2";
        ops::dot(&f, &f) => "[dot]" "[3]" "[2]";
        ops::inner(&f, &none) => "[inner]" "[3]" "[0]";
        ops::vdot(&f, &none) => "[vdot]" "[6]" "[0]";
        ops::tensordot(&f, &f, 3) => "[tensordot]" "3 axes";
        ops::tensordot(&f, &f, ([0, 0], [0, 1])) => "[tensordot]" "twice";
        ops::cross(&x, &x, -1) => "[cross]" "2 or 3 components";
        ops::einsum("ij,jk", &[f.clone(), f.clone()]) => "[einsum]" "extents 3 and 2";
        ops::einsum("ij", &[f.clone(), f.clone()]) => "[einsum]" "1 operands, received 2";
        ops::einsum("ij->k", std::slice::from_ref(&f)) => "[einsum]" "`k`";
        ops::einsum("ij->ii", std::slice::from_ref(&f)) => "[einsum]" "twice";
        ops::einsum("ii", std::slice::from_ref(&f)) => "[einsum]" "2 and 3";
        ops::einsum("i", std::slice::from_ref(&f)) => "[einsum]" "[2, 3]";
        ops::einsum("i1", std::slice::from_ref(&f)) => "[einsum]" "`1`";
        ops::einsum("...->", std::slice::from_ref(&f)) => "[einsum]" "...";
        ops::rearrange(&f, "a b", &[]) => "[rearrange]" "input -> output";
        ops::rearrange(&f, "a b -> a", &[]) => "[rearrange]" "same names";
        ops::rearrange(&f, "a b c -> a b c", &[]) => "[rearrange]" "[2, 3]";
        ops::rearrange(&f, "(a c) b -> a c b", &[]) => "[rearrange]" "all but one";
        ops::rearrange(&f, "a (b c) -> a b c", &[("c", 2)]) => "[rearrange]" "divide";
        ops::rearrange(&f, "a b -> b a", &[("d", 2)]) => "[rearrange]" "`d`";
        ops::rearrange(&f, "a ... -> a", &[]) => "[rearrange]" "both sides";
        ops::rearrange(&f, "a (b -> a b", &[]) => "[rearrange]" "`(`";
        ops::view(&f, DType::F16) => "[view]" "float16";
        ops::view(&Tensor::from_slice(&[1u8, 2]), DType::F32) => "[view]" "multiple of 4";
    };
    let (mut missed, mut last) = (vec![], 0);
    for (y, words) in wrong {
        let Some(error) = y.error().map(ToString::to_string) else {
            missed.push(format!("after line {last}: {y:?} is no error"));
            continue;
        };
        // Every row stands on a line of its own.
        let line = error
            .split_once("tests/indexing.rs:")
            .and_then(|(_, line)| line.trim_end_matches(')').parse().ok());
        let ok = error.starts_with(words[0])
            && words.iter().all(|w| error.contains(w))
            && line.is_some_and(|l: u32| l > last);
        if !ok {
            missed.push(format!("after line {last}: {error}"));
        }
        last = line.unwrap_or(last);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_depends_on_values_is_refused_while_traced() {
    with_device(&Device::cpu(), || {
        let refused = |f: fn(&Tensor) -> Tensor| {
            let function = Function::new("f", move |x| Ok(vec![f(&x[0])]));
            function.call(&[Tensor::from_slice(&[1.0f32, -1.0])]).expect_err("data-dependent").to_string()
        };
        for (op, error) in [
            ("index", refused(|x| x.index(x.greater(0.0)))),
            ("nonzero", refused(|x| ops::nonzero(x).remove(0))),
            ("unique", refused(|x| ops::unique(x, None, None, 0.0).values)),
        ] {
            assert!(error.starts_with(&format!("[{op}]")) && error.contains("fixed size"), "{error}");
        }
    });
}

#[test]
fn what_has_a_fixed_shape_is_traced() {
    with_device(&Device::cpu(), || {
        let function = Function::new("f", |x| {
            let (x, places) = (&x[0], &x[1]);
            let start = places.index(..1);
            Ok(vec![
                x.at(x.less(0.0)).set(0.0),
                x.at(x.greater(0.0)).multiply(2.0),
                x.at(places).add(1.0),
                ops::unique(x, None, 3, 9.0).values,
                x.index(places),
                ops::slice(x, &start, &[2]),
            ])
        });
        let x = Tensor::from_slice(&[1.0f32, -1.0, 3.0, -1.0]);
        let y = function.call(&[x, Tensor::from_slice(&[2, -4, 2])]).expect("a result");
        let values: Vec<Vec<f32>> = y.iter().map(|y| y.to_vec().expect("values")).collect();
        let expected: [&[f32]; 6] = [
            &[1.0, 0.0, 3.0, 0.0],
            &[2.0, -1.0, 6.0, -1.0],
            &[2.0, -1.0, 5.0, -1.0],
            &[-1.0, 1.0, 3.0],
            &[3.0, 1.0, 3.0],
            &[3.0, -1.0],
        ];
        assert_eq!(values, expected);
    });
}

#[test]
fn untouched_elements_keep_their_bits() {
    let x = Tensor::from_slice(&[-0.0f32, f32::NAN, f32::INFINITY, 1.0]);
    for y in [
        x.at(3..).add(1.0),
        x.at([3]).add(1.0),
        x.at(3).multiply(2.0),
        x.at(3..).max(2.0),
        x.at(3..).min(2.0),
    ] {
        let bits: Vec<u32> = y.to_vec::<f32>().expect("values").iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits[..3], [(-0.0f32).to_bits(), f32::NAN.to_bits(), f32::INFINITY.to_bits()]);
    }
}

#[test]
fn gradients_reach_masked_elements_and_values() {
    let x = Tensor::from_slice(&[1.0f32, -2.0, 3.0]);
    let v = Tensor::from_slice(&[5.0f32]);
    let chosen = x.index(x.greater(0.0)).square().sum(());
    let d = gradients(&chosen, std::slice::from_ref(&x)).expect("gradients");
    assert_eq!(d[0].to_vec::<f32>().expect("values"), [2.0, 0.0, 6.0]);
    let set = x.at(x.less(0.0)).set(&v).square().sum(());
    let d = gradients(&set, &[x, v]).expect("gradients");
    assert_eq!(d[0].to_vec::<f32>().expect("values"), [2.0, 0.0, 6.0]);
    assert_eq!(d[1].to_vec::<f32>().expect("values"), [10.0]);
}

const SIGNED: [i64; 8] = [i64::MIN, -5, -1, 0, 1, 2, 7, i64::MAX];
const SIZES: [usize; 6] = [0, 1, 3, 1 << 32, usize::MAX / 2, usize::MAX];
const MODES: [PadMode; 8] = [
    PadMode::Constant(1.0),
    PadMode::Edge,
    PadMode::Reflect,
    PadMode::Symmetric,
    PadMode::Wrap,
    PadMode::LinearRamp,
    PadMode::Maximum,
    PadMode::Mean,
];

/// Calls with arguments of which most are wrong.
fn calls(x: &Tensor, a: i64, b: i64, n: usize) -> Vec<Tensor> {
    let places = Tensor::from_slice(&[0i32, 1]);
    let mut made = vec![
        ops::append(x, &places, a),
        ops::concatenate(&[x.clone(), x.clone()], a),
        ops::stack(&[x.clone(), places.clone()], a),
        ops::hstack(&[x.clone(), places.clone()]),
        ops::vstack(&[x.clone(), places.clone()]),
        ops::dstack(&[x.clone(), places.clone()]),
        ops::expand_dims(x, [a, b]),
        ops::moveaxis(x, [a, b], [b, a]),
        ops::repeat(x, n, a),
        ops::repeat(x, [n, 1], a),
        ops::tile(x, &[n, 2]),
        ops::roll(x, &[a, b], [b, a]),
        ops::roll(x, &[a], ()),
        ops::rot90(x, a, (b, 0)),
        ops::diff(x, n, a),
        ops::diag(x, a),
        ops::diagflat(x, a),
        ops::diagonal(x, a, b, 0),
        ops::trace(x, a, 0, b),
        ops::tril(x, a),
        ops::triu(x, a),
        ops::sort(x, a),
        ops::argsort(x, a),
        ops::argpartition(x, a, b),
        ops::searchsorted(x, x, Side::Right),
        ops::isin(x, &places, true),
        ops::dot(x, &places),
        ops::inner(&places, x),
        ops::outer(x, x),
        ops::vdot(x, x),
        ops::kron(x, &places),
        ops::cross(x, x, a),
        ops::tensordot(x, x, n),
        ops::tensordot(x, x, (a, b)),
        ops::einsum("ij,j->i", &[x.clone(), places.clone()]),
        ops::einsum("...i,...i->...", &[x.clone(), x.clone()]),
        ops::einsum("ii", std::slice::from_ref(x)),
        ops::rearrange(x, "(a b) ... -> ... (b a)", &[("a", n)]),
        ops::slice(x, [n, 0], &[1, n]),
        ops::slice(x, &places, &[n, 1]),
        ops::slice_update(x, [n, 0], x),
        ops::take(x, &places, a),
        ops::take_along_axis(x, &places, a),
        ops::gather(x, &places, a, n),
        ops::gather_nd(x, &places, n),
        ops::scatter(&places, x, &[n, 2]),
        ops::tensor_scatter_nd_add(x, &places, &Tensor::scalar(1.0f32)),
        ops::view(x, DType::U8),
        ops::view(x, DType::I32),
        x.index((a, b)),
        x.index((Span { start: Some(a), stop: Some(b), step: a }, ..)),
        x.index((&places, .., a)),
        x.index((Ellipsis, Span { start: None, stop: Some(a), step: b })),
        x.at((a, &places)).set(1.0),
        x.at(Span { start: Some(a), stop: None, step: b }).add(2.0),
        x.at((.., NewAxis, &places)).max(2.0),
    ];
    made.extend(ops::split(x, [a, b], a));
    made.extend(ops::array_split(x, n, b).into_iter().take(3));
    made.extend(ops::hsplit(x, n).into_iter().take(3));
    made.extend(ops::unstack(x, n, a).into_iter().take(3));
    made.extend(ops::unravel_index(&places, &[n, 2]));
    made.extend(ops::meshgrid(&[x.clone(), places], ops::GridIndexing::Ij));
    made.extend(MODES.map(|mode| ops::pad(x, (n, 1), mode)));
    made
}

#[test]
fn nothing_panics() {
    let shapes: [&[usize]; 7] = [&[], &[0], &[3], &[2, 3], &[2, 0], &[2, 2], &[2, 1, 3]];
    let of = |dtype: DType| shapes.map(|shape| Tensor::full(shape, 1.0, dtype));
    let (mut wrong, mut built) = (vec![], 0);
    for x in [DType::F32, DType::I32, DType::Bool, DType::U8].into_iter().flat_map(of) {
        for (i, (a, b)) in SIGNED.into_iter().flat_map(|a| SIGNED.map(|b| (a, b))).enumerate() {
            let n = SIZES[i % SIZES.len()];
            let differentiate = || {
                let made = calls(&x, a, b, n);
                for y in made
                    .iter()
                    .filter(|y| y.error().is_none() && y.dtype().is_float() && x.dtype().is_float())
                {
                    let found = kiln_graph::gradients_with(y, &y.ones_like(), std::slice::from_ref(&x));
                    assert!(found.is_ok_and(|g| g[0].shape() == x.shape()), "gradient of {y:?}");
                }
                made.iter().filter(|y| y.error().is_none()).count()
            };
            match catch_unwind(AssertUnwindSafe(differentiate)) {
                Ok(count) => built += count,
                Err(_) => wrong.push(format!("{x:?} {a} {b} {n}")),
            }
        }
    }
    assert!(built > 10_000, "only {built} were right");
    assert!(wrong.is_empty(), "{} panicked: {:?}", wrong.len(), wrong.first());
}
