//! Cases of primitives that are not elementwise.

use kiln_device::{DType, ReduceOp, ScatterOp, Value};
use kiln_graph::op::Op;
use kiln_graph::{Padding, Tensor};

use crate::case::Tolerance::{Absolute, Exact, Products, Sum, Ulp};
use crate::case::{Case, Input};

pub(crate) fn cases() -> Vec<Case> {
    [sources(), reduce(), scan(), matmul(), conv(), views(), windows(), gather(), scatter(), argsort()]
        .concat()
}

fn sources() -> Vec<Case> {
    let mut cases = vec![];
    for (i, dtype) in DType::ALL.into_iter().enumerate() {
        let shape = [&[3usize][..], &[], &[0, 2]][i % 3];
        cases.push(Case::new(format!("constant {dtype}"), [], Exact, move |_| {
            Tensor::full(shape, 1.5, dtype)
        }));
    }
    let shapes: [(&[usize], usize); 4] = [(&[5], 0), (&[2, 3, 4], 1), (&[2, 0], 0), (&[1, 7], 1)];
    for (shape, axis) in shapes {
        cases
            .push(Case::new(format!("iota {shape:?} {axis}"), [], Exact, move |_| Tensor::iota(shape, axis)));
    }
    let key = || [Input::values(&[2], DType::U32, &[123.0, 4_000_000_000.0])];
    let shapes: [&[usize]; 4] = [&[], &[0], &[5, 3], &[257]];
    for shape in shapes {
        let name = format!("random {shape:?}");
        cases.push(Case::new(name.clone(), key(), Exact, move |x| Tensor::random_bits(&x[0], shape)));
        let uniform = move |x: &[Tensor]| Tensor::random_uniform(&x[0], shape);
        cases.push(Case::new(format!("{name} uniform"), key(), Exact, uniform));
        let normal = move |x: &[Tensor]| Tensor::random_normal(&x[0], shape);
        cases.push(Case::new(format!("{name} normal"), key(), Absolute(2e-5), normal));
    }
    let input = || [Input::range(&[2, 3], -1.0, 1.0)];
    cases.push(Case::new("barrier", input(), Exact, |x| x[0].barrier() * 2.0).differentiable());
    cases
}

fn primitive_reduce(op: ReduceOp, axes: &[usize], x: &Tensor) -> Tensor {
    let shape: Vec<usize> = (0..x.rank()).filter(|i| !axes.contains(i)).map(|i| x.shape()[i]).collect();
    Tensor::primitive(Op::Reduce { op, axes: axes.to_vec() }, std::slice::from_ref(x), &shape, x.dtype())
}

fn reduce() -> Vec<Case> {
    let shapes: [(&[usize], &[usize]); 10] = [
        (&[7], &[0]),
        (&[1], &[0]),
        (&[0], &[0]),
        (&[3, 5], &[0]),
        (&[3, 5], &[1]),
        (&[3, 5], &[0, 1]),
        (&[2, 3, 4], &[1]),
        (&[2, 3, 4], &[0, 2]),
        (&[2, 0, 3], &[1]),
        (&[0, 3], &[1]),
    ];
    let mut cases = vec![];
    for op in ReduceOp::ALL.iter().copied() {
        for (shape, axes) in shapes {
            let n: usize = axes.iter().map(|a| shape[*a]).product();
            let tolerance = match op {
                ReduceOp::Sum => Sum(n),
                ReduceOp::Prod => Ulp(2.0 * n as f64 + 1.0),
                ReduceOp::Max | ReduceOp::Min => Exact,
            };
            let build = move |x: &[Tensor]| primitive_reduce(op, axes, &x[0]);
            let name = format!("reduce_{} {shape:?} {axes:?}", op.name());
            cases.push(Case::new(name, [Input::distinct(shape)], tolerance, build).differentiable());
        }
        for dtype in [DType::I32, DType::I64, DType::U32, DType::U8, DType::Bool] {
            if !op.combine().accepts(dtype.scalar()) {
                continue;
            }
            let input =
                || [Input::whole(&[3, 9], 0, 250).cast(dtype), Input::whole(&[0, 2], 0, 1).cast(dtype)];
            let name = format!("reduce_{} {dtype}", op.name());
            cases.push(Case::new(name.clone(), input(), Exact, move |x| primitive_reduce(op, &[1], &x[0])));
            cases.push(Case::new(format!("{name} of none"), input(), Exact, move |x| {
                primitive_reduce(op, &[0], &x[1])
            }));
        }
        let special = [Input::values(&[2, 3], DType::F32, &[1.0, f64::NAN, 2.0, f64::INFINITY, 1.0, 5.0])];
        let build = move |x: &[Tensor]| primitive_reduce(op, &[1], &x[0]);
        cases.push(Case::new(format!("reduce_{} special", op.name()), special, Ulp(1.0), build));
    }
    let zeros = [Input::values(&[2, 3], DType::F32, &[0.0, 2.0, 3.0, 0.0, 0.0, 5.0])];
    cases.push(Case::new("reduce_prod with zeros", zeros, Exact, |x| x[0].prod(1)).differentiable());
    let long = [Input::range(&[3, 4097], -1.0, 1.0)];
    cases.push(Case::new("reduce_sum of 4097", long, Sum(4097), |x| x[0].sum(1)));
    let halves = [Input::range(&[5, 33], -1.0, 1.0).cast(DType::F16)];
    cases.push(Case::new("reduce_sum float16", halves, Ulp(2.0), |x| x[0].cast(DType::F32).sum(1)));
    cases
}

fn primitive_scan(op: ReduceOp, axis: usize, reverse: bool, x: &Tensor) -> Tensor {
    Tensor::primitive(Op::Scan { op, axis, reverse }, std::slice::from_ref(x), x.shape(), x.dtype())
}

fn scan() -> Vec<Case> {
    let shapes: [(&[usize], usize); 6] =
        [(&[6], 0), (&[1], 0), (&[0], 0), (&[3, 5], 0), (&[2, 5], 1), (&[2, 4, 3], 1)];
    let mut cases = vec![];
    for op in ReduceOp::ALL.iter().copied() {
        for (shape, axis) in shapes {
            for reverse in [false, true] {
                let (tolerance, input) = match op {
                    ReduceOp::Sum => (Sum(shape[axis]), Input::distinct(shape)),
                    ReduceOp::Prod => (Ulp(2.0 * shape[axis] as f64 + 1.0), Input::range(shape, 0.5, 1.5)),
                    ReduceOp::Max | ReduceOp::Min => (Exact, Input::distinct(shape)),
                };
                let direction = if reverse { " reversed" } else { "" };
                let name = format!("scan {} {shape:?} {axis}{direction}", op.name());
                let build = move |x: &[Tensor]| primitive_scan(op, axis, reverse, &x[0]);
                cases.push(Case::new(name, [input], tolerance, build).differentiable());
            }
        }
        let input = [Input::whole(&[2, 300], -9, 9)];
        let build = move |x: &[Tensor]| primitive_scan(op, 1, false, &x[0]);
        cases.push(Case::new(format!("scan {} int32", op.name()), input, Exact, build));
    }
    cases
}

fn matmul() -> Vec<Case> {
    let shapes: [(&[usize], &[usize]); 14] = [
        (&[1, 1], &[1, 1]),
        (&[3, 4], &[4, 5]),
        (&[0, 3], &[3, 2]),
        (&[2, 0], &[0, 3]),
        (&[7, 17], &[17, 9]),
        (&[4], &[4]),
        (&[4], &[4, 3]),
        (&[3, 4], &[4]),
        (&[2, 3, 4], &[4, 5]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[3, 4, 2]),
        (&[1, 3, 4], &[5, 4, 2]),
        (&[4], &[2, 4, 3]),
        (&[2, 3, 4], &[4]),
    ];
    let mut cases = vec![];
    for (a, b) in shapes {
        let k = a[a.len() - 1];
        let inputs = [Input::range(a, -1.0, 1.0), Input::range(b, -1.0, 1.0)];
        let case = Case::new(format!("matmul {a:?} {b:?}"), inputs, Products(k), |x| x[0].matmul(&x[1]));
        cases.push(case.differentiable());
    }
    let integers = [Input::whole(&[3, 4], -100_000, 100_000), Input::whole(&[4, 2], -100_000, 100_000)];
    cases.push(Case::new("matmul int32", integers, Exact, |x| x[0].matmul(&x[1])));
    for dtype in [DType::F16, DType::BF16] {
        let inputs =
            [Input::range(&[5, 33], -1.0, 1.0), Input::range(&[33, 6], -1.0, 1.0)].map(|i| i.cast(dtype));
        cases.push(Case::new(format!("matmul {dtype}"), inputs, Products(33), |x| x[0].matmul(&x[1])));
    }
    let large = [Input::range(&[65, 130], -1.0, 1.0), Input::range(&[130, 67], -1.0, 1.0)];
    cases.push(Case::new("matmul of tiles", large, Products(130), |x| x[0].matmul(&x[1])));
    cases
}

fn conv() -> Vec<Case> {
    type Row = (&'static [usize], &'static [usize], &'static [usize], Padding, &'static [usize], usize);
    use Padding::{Same, Valid};
    let rows: [Row; 14] = [
        (&[2, 5, 3], &[2, 3, 4], &[1], Valid, &[1], 1),
        (&[1, 7, 2], &[3, 2, 2], &[2], Same, &[1], 1),
        (&[1, 8, 2], &[3, 2, 2], &[3], Valid, &[1], 1),
        (&[1, 9, 2], &[3, 2, 3], &[1], Same, &[2], 1),
        (&[1, 9, 2], &[3, 2, 3], &[1], Valid, &[3], 1),
        (&[1, 10, 1], &[2, 1, 2], &[2], Same, &[2], 1),
        (&[2, 4, 5, 3], &[2, 2, 3, 2], &[1, 1], Valid, &[1, 1], 1),
        (&[1, 5, 4, 2], &[3, 3, 2, 3], &[2, 1], Same, &[1, 1], 1),
        (&[1, 6, 5, 4], &[2, 3, 2, 6], &[1, 2], Same, &[2, 1], 2),
        (&[2, 4, 4, 3], &[3, 3, 1, 6], &[1, 1], Same, &[1, 1], 3),
        (&[1, 4, 4, 2], &[1, 1, 2, 3], &[2, 2], Valid, &[1, 1], 1),
        (&[1, 1, 1, 1], &[1, 1, 1, 1], &[1, 1], Valid, &[1, 1], 1),
        (&[1, 3, 4, 3, 2], &[2, 2, 2, 2, 1], &[1, 2, 1], Same, &[1, 1, 1], 1),
        (&[0, 4, 2], &[2, 2, 3], &[1], Valid, &[1], 1),
    ];
    let mut cases = vec![];
    for (x, w, strides, padding, dilations, groups) in rows {
        let inputs = [Input::range(x, -1.0, 1.0), Input::range(w, -1.0, 1.0)];
        let name = format!("conv {x:?} {w:?} {strides:?} {padding:?} {dilations:?} {groups}");
        let k = w[..w.len() - 1].iter().product();
        let build = move |t: &[Tensor]| t[0].conv(&t[1], strides, padding, dilations, groups);
        cases.push(Case::new(name, inputs, Products(k), build).differentiable());
    }
    cases
}

fn slice(x: &Tensor, start: &[usize], step: &[i64], shape: &[usize]) -> Tensor {
    let op = Op::Slice { start: start.to_vec(), step: step.to_vec() };
    Tensor::primitive(op, std::slice::from_ref(x), shape, x.dtype())
}

fn pad(x: &Tensor, low: &[usize], high: &[usize], interior: &[usize]) -> Tensor {
    let extent = |i: usize| {
        let d = x.shape()[i];
        low[i] + high[i] + d + interior[i] * d.saturating_sub(1)
    };
    let shape: Vec<usize> = (0..x.rank()).map(extent).collect();
    let op = Op::Pad {
        low: low.to_vec(),
        high: high.to_vec(),
        interior: interior.to_vec(),
        value: if x.dtype() == DType::F64 { Value::F64(1.5) } else { Value::F32(1.5) },
    };
    Tensor::primitive(op, std::slice::from_ref(x), &shape, x.dtype())
}

fn views() -> Vec<Case> {
    let mut cases = vec![];
    let mut view = |name: &str, shape: &[usize], build: fn(&Tensor) -> Tensor| {
        let name = format!("{name} {shape:?}");
        cases.push(Case::new(name, [Input::distinct(shape)], Exact, move |x| build(&x[0])).differentiable());
    };
    view("reshape", &[2, 6], |x| x.reshape(&[3, -1]));
    view("reshape", &[1], |x| x.reshape(&[]));
    view("reshape", &[0, 3], |x| x.reshape(&[5, 0]));
    view("transpose", &[2, 3, 4], |x| x.transpose(&[2, 0, 1]));
    view("transpose", &[3, 1], |x| x.transpose(&[1, 0]));
    view("transpose", &[0, 2], |x| x.transpose(&[1, 0]));
    view("broadcast", &[3, 1], |x| x.broadcast_to(&[2, 3, 4]));
    view("broadcast", &[], |x| x.broadcast_to(&[2, 2]));
    view("broadcast", &[1, 2], |x| x.broadcast_to(&[0, 2]));
    view("slice of axis", &[5, 3], |x| x.slice_axis(0, 1, -1));
    view("slice of nothing", &[5], |x| x.slice_axis(0, 2, 2));
    view("slice steps", &[7, 5], |x| slice(x, &[1, 0], &[2, 3], &[3, 2]));
    view("slice backwards", &[7, 5], |x| slice(x, &[6, 3], &[-2, -3], &[3, 2]));
    view("flip", &[3, 2], |x| x.flip([0, 1]));
    view("pad", &[2, 3], |x| x.pad(&[(1, 0), (0, 2)], -1.0));
    view("pad nothing", &[0], |x| x.pad(&[(2, 1)], 3.0));
    view("pad interior", &[3, 2], |x| pad(x, &[1, 0], &[0, 2], &[2, 1]));
    view("pad interior", &[1, 0], |x| pad(x, &[0, 1], &[1, 0], &[3, 3]));
    view("expand_dims and squeeze", &[2, 1], |x| x.expand_dims(0).squeeze(2));
    let shapes: [&[&[usize]]; 4] =
        [&[&[2, 3], &[2, 1], &[2, 0]], &[&[1, 2], &[1, 2]], &[&[3, 4]], &[&[0, 1], &[0, 5]]];
    for shapes in shapes {
        let inputs: Vec<Input> = shapes.iter().map(|s| Input::distinct(s)).collect();
        let name = format!("concat {shapes:?}");
        cases.push(Case::new(name, inputs, Exact, |x| Tensor::concat(x, 1)).differentiable());
    }
    for dtype in [DType::I32, DType::U8, DType::Bool, DType::F16] {
        let inputs = [Input::whole(&[3, 2], 0, 9).cast(dtype), Input::whole(&[1, 2], 0, 9).cast(dtype)];
        let build = |x: &[Tensor]| Tensor::concat(&[x[0].flip(0), x[1].clone()], 0).transpose(&[1, 0]);
        cases.push(Case::new(format!("views of {dtype}"), inputs, Exact, build));
    }
    let inputs = [Input::distinct(&[2, 3]), Input::distinct(&[2, 3])];
    cases.push(Case::new("stack", inputs, Exact, |x| Tensor::stack(x, -1)).differentiable());
    cases
}

fn windows() -> Vec<Case> {
    let rows: [(&[usize], [usize; 4]); 7] = [
        (&[7], [0, 3, 1, 1]),
        (&[7], [0, 3, 2, 1]),
        (&[8], [0, 2, 3, 2]),
        (&[2, 6, 2], [1, 3, 2, 2]),
        (&[1], [0, 1, 1, 1]),
        (&[2], [0, 3, 1, 1]),
        (&[3, 5], [1, 2, 1, 3]),
    ];
    let mut cases = vec![];
    for (shape, [axis, size, stride, dilation]) in rows {
        let name = format!("window {shape:?} {axis} {size} {stride} {dilation}");
        let build = move |x: &[Tensor]| x[0].window(axis, size, stride, dilation);
        cases.push(Case::new(name, [Input::distinct(shape)], Exact, build).differentiable());
    }
    let rows: [(&[usize], [usize; 4]); 4] = [
        (&[3, 2], [0, 7, 2, 1]),
        (&[3, 2], [0, 9, 1, 4]),
        (&[2, 2, 3, 2], [1, 6, 2, 1]),
        (&[0, 2], [0, 4, 1, 1]),
    ];
    for (shape, [axis, length, stride, dilation]) in rows {
        let name = format!("unwindow {shape:?} {axis} {length} {stride} {dilation}");
        let build = move |x: &[Tensor]| {
            let mut shape = shape.to_vec();
            shape[axis] = length;
            Tensor::primitive(Op::Unwindow { axis, length, stride, dilation }, x, &shape, x[0].dtype())
        };
        cases.push(Case::new(name, [Input::distinct(shape)], Exact, build).differentiable());
    }
    cases
}

fn gather() -> Vec<Case> {
    let rows: [(&[usize], &[usize], i64); 7] = [
        (&[5], &[3], 0),
        (&[4, 3], &[6], 0),
        (&[4, 3], &[2, 2], 1),
        (&[2, 3, 2], &[], 1),
        (&[3, 2], &[0], 0),
        (&[1, 2], &[4], 0),
        (&[3, 0], &[2], 0),
    ];
    let mut cases = vec![];
    for (x, indices, axis) in rows {
        let bound = x[axis as usize] as i64;
        let inputs = [Input::distinct(x), Input::whole(indices, 0, bound - 1)];
        let name = format!("take {x:?} {indices:?} {axis}");
        cases.push(Case::new(name, inputs, Exact, move |t| t[0].take(&t[1], axis)).differentiable());
    }
    let rows: [(&[usize], &[usize], i64); 4] =
        [(&[5], &[3], 0), (&[3, 4], &[3, 2], 1), (&[3, 4], &[1, 4], 0), (&[2, 2, 3], &[2, 0, 3], 1)];
    for (x, indices, axis) in rows {
        let inputs = [Input::distinct(x), Input::whole(indices, 0, x[axis as usize] as i64 - 1)];
        let name = format!("take_along_axis {x:?} {indices:?} {axis}");
        cases.push(
            Case::new(name, inputs, Exact, move |t| t[0].take_along_axis(&t[1], axis)).differentiable(),
        );
    }
    for dtype in [DType::I32, DType::U8, DType::Bool, DType::BF16] {
        let inputs = [Input::whole(&[4, 2], 0, 9).cast(dtype), Input::whole(&[5], 0, 3).cast(DType::U8)];
        cases.push(Case::new(format!("take of {dtype}"), inputs, Exact, |x| x[0].take(&x[1], 0)));
    }
    cases
}

fn scatter() -> Vec<Case> {
    let all: Vec<ScatterOp> =
        [ScatterOp::Set].into_iter().chain(ReduceOp::ALL.iter().map(|op| ScatterOp::Fold(*op))).collect();
    let rows: [(&[usize], &[usize]); 6] =
        [(&[5], &[7]), (&[4, 3], &[6]), (&[3, 2], &[2, 2]), (&[3], &[0]), (&[1, 2], &[3]), (&[4], &[])];
    let mut cases = vec![];
    for op in all {
        let tolerance = match op {
            ScatterOp::Fold(ReduceOp::Sum) => Sum(8),
            ScatterOp::Fold(ReduceOp::Prod) => Ulp(9.0),
            ScatterOp::Set | ScatterOp::Fold(ReduceOp::Max | ReduceOp::Min) => Exact,
        };
        for (x, indices) in rows {
            let updates = [indices, &x[1..]].concat();
            let inputs =
                [Input::distinct(x), Input::whole(indices, 0, x[0] as i64 - 1), Input::distinct(&updates)];
            let name = format!("scatter {op:?} {x:?} {indices:?}");
            let build = move |t: &[Tensor]| t[0].scatter(&t[1], &t[2], op);
            cases.push(Case::new(name, inputs, tolerance, build).differentiable());
        }
        let inputs = [Input::whole(&[4, 2], -9, 9), Input::whole(&[9], 0, 3), Input::whole(&[9, 2], -9, 9)];
        let build = move |t: &[Tensor]| t[0].scatter(&t[1], &t[2], op);
        cases.push(Case::new(format!("scatter {op:?} int32"), inputs, Exact, build));
    }
    // Rounded once, not after every update: from 256 on, adding 1 to a bfloat16 changes nothing.
    for (dtype, count) in [(DType::BF16, 300), (DType::F16, 3000)] {
        let ones = Input::whole(&[count, 2], 1, 1).cast(dtype);
        let inputs = [Input::whole(&[2, 2], 0, 0).cast(dtype), Input::whole(&[count], 1, 1), ones];
        let name = format!("scatter_add of {count} ones in {dtype}");
        cases.push(Case::new(name, inputs, Exact, |t| t[0].scatter_add(&t[1], &t[2])));
    }
    cases
}

fn argsort() -> Vec<Case> {
    let shapes: [(&[usize], i64); 6] =
        [(&[9], 0), (&[1], 0), (&[0], 0), (&[3, 5], 0), (&[3, 5], 1), (&[2, 300], -1)];
    let mut cases = vec![];
    for descending in [false, true] {
        let direction = if descending { "descending" } else { "ascending" };
        for (shape, axis) in shapes {
            let name = format!("argsort {shape:?} {axis} {direction}");
            let build = move |x: &[Tensor]| x[0].argsort(axis, descending);
            cases.push(Case::new(name, [Input::distinct(shape)], Exact, build));
        }
        let special = [f64::NAN, 1.0, f64::INFINITY, -2.0, 1.0, f64::NAN, f64::NEG_INFINITY, 0.0, 1.0];
        let special = [Input::values(&[9], DType::F32, &special)];
        let build = move |x: &[Tensor]| x[0].argsort(0, descending);
        cases.push(Case::new(format!("argsort special {direction}"), special, Exact, build));
        for dtype in [DType::I32, DType::I64, DType::U32, DType::U8] {
            let low = if dtype == DType::I32 { -3 } else { 0 };
            let ties = [Input::whole(&[2, 40], low, 6).cast(dtype)];
            let build = move |x: &[Tensor]| x[0].argsort(1, descending);
            cases.push(Case::new(format!("argsort {dtype} {direction}"), ties, Exact, build));
        }
    }
    let rows = || [Input::distinct(&[3, 6])];
    cases.push(Case::new("sort rows", rows(), Exact, |x| x[0].sort(1)).differentiable());
    cases.push(Case::new("sort columns", rows(), Exact, |x| x[0].sort(0)).differentiable());
    cases.push(Case::new("top_k values", rows(), Exact, |x| x[0].top_k(2).0).differentiable());
    cases.push(Case::new("top_k positions", rows(), Exact, |x| x[0].top_k(2).1));
    cases
}
