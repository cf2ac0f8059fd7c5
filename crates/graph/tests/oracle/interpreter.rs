//! The oracle itself, against values worked out by hand.

use kiln_device::{BinaryOp, Error as DeviceError, UnaryOp, Value};
use kiln_graph::graph::{Assign, Graph, Leaf, Node, NodeId};
use kiln_graph::interpret::{interpret, interpret_tensors};
use kiln_graph::op::{ConvGeometry, ConvKind, Op};
use kiln_graph::{DType, Error, Padding, ReduceOp, ScatterOp, Tensor};

use crate::case::tensor_of;

const NAN: f64 = f64::NAN;
const INFINITY: f64 = f64::INFINITY;

fn floats(numbers: &[f64], shape: &[usize]) -> Tensor {
    tensor_of(numbers, shape, DType::F32)
}

/// `1, 2, 3 …` under a shape.
fn counted(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    floats(&(1..=count).map(|i| i as f64).collect::<Vec<_>>(), shape)
}

#[track_caller]
fn gives(tensor: &Tensor, expected: &[f64]) {
    let got = interpret_tensors(std::slice::from_ref(tensor)).expect("a value").remove(0);
    let same = |(a, b): (&f64, &f64)| {
        (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-14 * b.abs().max(1.0)
    };
    let equal = got.len() == expected.len() && got.iter().zip(expected).all(same);
    assert!(equal, "{tensor:?}: {got:?}, not {expected:?}");
}

#[test]
fn unary_floats() {
    let rows: &[(UnaryOp, f64, f64)] = &[
        (UnaryOp::Neg, 2.0, -2.0),
        (UnaryOp::Abs, -2.0, 2.0),
        (UnaryOp::Sign, -0.5, -1.0),
        (UnaryOp::Sign, 0.0, 0.0),
        (UnaryOp::Sign, NAN, NAN),
        (UnaryOp::Exp, 1.0, std::f64::consts::E),
        (UnaryOp::Expm1, 1.0, std::f64::consts::E - 1.0),
        (UnaryOp::Log, 2.0, std::f64::consts::LN_2),
        (UnaryOp::Log, 0.0, -INFINITY),
        (UnaryOp::Log, -1.0, NAN),
        (UnaryOp::Log1p, 1.0, std::f64::consts::LN_2),
        (UnaryOp::Sqrt, 9.0, 3.0),
        (UnaryOp::Sqrt, -1.0, NAN),
        (UnaryOp::Rsqrt, 4.0, 0.5),
        (UnaryOp::Sin, 0.0, 0.0),
        (UnaryOp::Sin, 1.0, 0.841_470_984_807_896_5),
        (UnaryOp::Cos, 1.0, 0.540_302_305_868_139_7),
        (UnaryOp::Tanh, 1.0, 0.761_594_155_955_764_9),
        (UnaryOp::Atan, 1.0, std::f64::consts::FRAC_PI_4),
        (UnaryOp::Erf, 1.0, 0.842_700_792_949_714_9),
        (UnaryOp::Sigmoid, 0.0, 0.5),
        (UnaryOp::Sigmoid, -1000.0, 0.0),
        (UnaryOp::Floor, -1.5, -2.0),
        (UnaryOp::Ceil, -1.5, -1.0),
        (UnaryOp::Round, 2.5, 2.0),
        (UnaryOp::Round, -1.5, -2.0),
        (UnaryOp::Trunc, -1.5, -1.0),
        (UnaryOp::IsNan, NAN, 1.0),
        (UnaryOp::IsNan, INFINITY, 0.0),
    ];
    for (op, x, expected) in rows {
        let dtype = if *op == UnaryOp::IsNan { DType::Bool } else { DType::F32 };
        gives(&Tensor::primitive(Op::Unary(*op), &[floats(&[*x], &[1])], &[1], dtype), &[*expected]);
    }
    for op in UnaryOp::ALL.iter().filter(|op| **op != UnaryOp::Not) {
        assert!(rows.iter().any(|row| row.0 == *op), "{} is not here", op.name());
    }
}

#[test]
fn unary_integers_wrap() {
    let i = tensor_of(&[5.0, -5.0, i32::MIN as f64], &[3], DType::I32);
    gives(&i.neg(), &[-5.0, 5.0, i32::MIN as f64]);
    gives(&i.abs(), &[5.0, 5.0, i32::MIN as f64]);
    gives(&i.sign(), &[1.0, -1.0, -1.0]);
    gives(&i.logical_not(), &[-6.0, 4.0, i32::MAX as f64]);
    let u = tensor_of(&[0.0, 1.0], &[2], DType::U32);
    gives(&u.neg(), &[0.0, 4_294_967_295.0]);
    let bytes = tensor_of(&[0.0, 1.0, 200.0], &[3], DType::U8);
    gives(&bytes.logical_not(), &[255.0, 254.0, 55.0]);
    gives(&(&bytes + &bytes), &[0.0, 2.0, 144.0]);
    gives(&tensor_of(&[0.0, 1.0], &[2], DType::Bool).logical_not(), &[1.0, 0.0]);
}

#[test]
fn binary_floats() {
    let rows: &[(BinaryOp, f64, f64, f64)] = &[
        (BinaryOp::Add, 1.0, 2.0, 3.0),
        (BinaryOp::Sub, 1.0, 2.0, -1.0),
        (BinaryOp::Mul, 3.0, 2.0, 6.0),
        (BinaryOp::Div, 1.0, 0.0, INFINITY),
        (BinaryOp::Rem, -7.0, 3.0, 2.0),
        (BinaryOp::Rem, 7.0, -3.0, -2.0),
        (BinaryOp::Pow, -2.0, 3.0, -8.0),
        (BinaryOp::Pow, -2.0, 0.5, NAN),
        (BinaryOp::Pow, 0.0, 0.0, 1.0),
        (BinaryOp::Max, 1.0, 2.0, 2.0),
        (BinaryOp::Max, 1.0, NAN, NAN),
        (BinaryOp::Min, NAN, 2.0, NAN),
        (BinaryOp::Min, 1.0, -2.0, -2.0),
        (BinaryOp::Atan2, 1.0, -1.0, 3.0 * std::f64::consts::FRAC_PI_4),
    ];
    for (op, a, b, expected) in rows {
        let inputs = [floats(&[*a], &[1]), floats(&[*b], &[1])];
        gives(&Tensor::primitive(Op::Binary(*op), &inputs, &[1], DType::F32), &[*expected]);
    }
}

#[test]
fn binary_integers() {
    let (min, max) = (i32::MIN as f64, i32::MAX as f64);
    let rows: &[(BinaryOp, f64, f64, f64)] = &[
        (BinaryOp::Add, max, 1.0, min),
        (BinaryOp::Sub, min, 1.0, max),
        (BinaryOp::Mul, 65536.0, 65537.0, 65536.0),
        (BinaryOp::Div, -7.0, 2.0, -4.0),
        (BinaryOp::Div, 7.0, 0.0, 0.0),
        (BinaryOp::Div, min, -1.0, min),
        (BinaryOp::Rem, -7.0, 2.0, 1.0),
        (BinaryOp::Rem, 7.0, -2.0, -1.0),
        (BinaryOp::Rem, 7.0, 0.0, 0.0),
        (BinaryOp::Pow, 3.0, 4.0, 81.0),
        (BinaryOp::Pow, 2.0, -1.0, 0.0),
        (BinaryOp::Pow, -1.0, -3.0, -1.0),
        (BinaryOp::Max, -1.0, 2.0, 2.0),
        (BinaryOp::Min, -1.0, 2.0, -1.0),
        (BinaryOp::And, 6.0, 3.0, 2.0),
        (BinaryOp::Or, 6.0, 3.0, 7.0),
        (BinaryOp::Xor, 6.0, 3.0, 5.0),
        (BinaryOp::Shl, 1.0, 33.0, 2.0),
        (BinaryOp::Shr, -8.0, 1.0, -4.0),
    ];
    for (op, a, b, expected) in rows {
        let inputs = [*a, *b].map(|x| tensor_of(&[x], &[1], DType::I32));
        gives(&Tensor::primitive(Op::Binary(*op), &inputs, &[1], DType::I32), &[*expected]);
    }
    let shifted = tensor_of(&[4_294_967_288.0], &[1], DType::U32).right_shift(1);
    gives(&shifted, &[2_147_483_644.0]);
    let (a, b) = ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0]);
    let (a, b) = (tensor_of(&a, &[3], DType::Bool), tensor_of(&b, &[3], DType::Bool));
    gives(&a.logical_and(&b), &[1.0, 0.0, 0.0]);
    gives(&a.logical_xor(&b), &[0.0, 1.0, 0.0]);
    gives(&a.maximum(&b), &[1.0, 1.0, 0.0]);
}

#[test]
fn comparisons_with_nan_are_false_but_one() {
    let (a, b) = (floats(&[1.0, 2.0, NAN], &[3]), floats(&[2.0, 2.0, NAN], &[3]));
    gives(&a.equal(&b), &[0.0, 1.0, 0.0]);
    gives(&a.not_equal(&b), &[1.0, 0.0, 1.0]);
    gives(&a.less(&b), &[1.0, 0.0, 0.0]);
    gives(&a.less_equal(&b), &[1.0, 1.0, 0.0]);
    gives(&a.greater(&b), &[0.0, 0.0, 0.0]);
    gives(&a.greater_equal(&b), &[0.0, 1.0, 0.0]);
    gives(&Tensor::select(&a.less(&b), &a, 7.0), &[1.0, 7.0, 7.0]);
}

#[test]
fn conversions() {
    let x = floats(&[-1.5, 300.7, 1e10, NAN, 0.0], &[5]);
    gives(&x.cast(DType::I32), &[-1.0, 300.0, i32::MAX as f64, 0.0, 0.0]);
    gives(&x.cast(DType::U32), &[0.0, 300.0, u32::MAX as f64, 0.0, 0.0]);
    gives(&x.cast(DType::U8), &[0.0, 255.0, 255.0, 0.0, 0.0]);
    gives(&x.cast(DType::Bool), &[1.0, 1.0, 1.0, 1.0, 0.0]);
    gives(&tensor_of(&[-1.0, 300.0], &[2], DType::I32).cast(DType::U8), &[255.0, 44.0]);
    gives(&floats(&[2049.0, 70000.0], &[2]).cast(DType::F16), &[2048.0, INFINITY]);
    gives(&floats(&[257.0, 259.0], &[2]).cast(DType::BF16), &[256.0, 260.0]);
    gives(&floats(&[1.0, -2.0], &[2]).bitcast(DType::U32), &[1_065_353_216.0, 3_221_225_472.0]);
    gives(&tensor_of(&[1_065_353_216.0], &[1], DType::I32).bitcast(DType::F32), &[1.0]);
}

#[test]
fn sources() {
    gives(&Tensor::full(&[2], 0.5, DType::F32), &[0.5, 0.5]);
    gives(&Tensor::iota(&[2, 3], 1), &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    let key = tensor_of(&[0.0, 0.0], &[2], DType::U32);
    let bits = interpret_tensors(&[Tensor::random_bits(&key, &[3])]).expect("bits").remove(0);
    assert_eq!(bits[0], 0x6b20_0159 as f64);
    assert!(bits[0] != bits[1] && bits[1] != bits[2]);
    gives(&counted(&[2]).barrier().stop_gradient(), &[1.0, 2.0]);
}

#[test]
fn reductions_and_scans() {
    let x = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, -6.0], &[2, 3]);
    gives(&x.sum(0), &[5.0, 7.0, -3.0]);
    gives(&x.prod(1), &[6.0, -120.0]);
    gives(&x.max(()), &[5.0]);
    gives(&x.min(1), &[1.0, -6.0]);
    let none = floats(&[], &[0, 2]);
    gives(&none.sum(0), &[0.0, 0.0]);
    gives(&none.prod(0), &[1.0, 1.0]);
    gives(&none.max(0), &[-INFINITY, -INFINITY]);
    gives(&tensor_of(&[], &[0], DType::U8).min(()), &[255.0]);
    gives(&tensor_of(&[], &[0], DType::I32).max(()), &[i32::MIN as f64]);
    gives(&floats(&[1.0, NAN], &[2]).max(()), &[NAN]);
    gives(&tensor_of(&[i32::MAX as f64, 1.0], &[2], DType::I32).sum(()), &[i32::MIN as f64]);
    gives(&x.cumsum(0), &[1.0, 2.0, 3.0, 5.0, 7.0, -3.0]);
    gives(&x.cumprod(1), &[1.0, 2.0, 6.0, 4.0, 20.0, -120.0]);
    gives(&x.cummax(1), &[1.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
    gives(&x.reverse_cumsum(1), &[6.0, 5.0, 3.0, 3.0, -1.0, -6.0]);
}

#[test]
fn products_of_matrices() {
    gives(&counted(&[2, 3]).matmul(&counted(&[3, 2])), &[22.0, 28.0, 49.0, 64.0]);
    gives(&counted(&[2, 1, 2]).matmul(&counted(&[2, 2, 1])), &[5.0, 25.0]);
    gives(&floats(&[], &[1, 0]).matmul(&floats(&[], &[0, 2])), &[0.0, 0.0]);
    let wide = tensor_of(&[65536.0], &[1, 1], DType::I32);
    gives(&wide.matmul(&wide), &[0.0]);
}

#[test]
fn convolutions() {
    let (x, w) = (counted(&[1, 5, 1]), floats(&[1.0, 10.0], &[2, 1, 1]));
    gives(&x.conv(&w, &[1], Padding::Valid, &[1], 1), &[21.0, 32.0, 43.0, 54.0]);
    gives(&x.conv(&w, &[2], Padding::Same, &[1], 1), &[21.0, 43.0, 5.0]);
    gives(&x.conv(&w, &[1], Padding::Valid, &[3], 1), &[41.0, 52.0]);
    let grouped =
        counted(&[1, 2, 2]).conv(&floats(&[10.0, 100.0], &[1, 1, 2]), &[1], Padding::Valid, &[1], 2);
    gives(&grouped, &[10.0, 200.0, 30.0, 400.0]);
    let plane =
        counted(&[1, 3, 3, 1]).conv(&floats(&[1.0; 4], &[2, 2, 1, 1]), &[1, 1], Padding::Valid, &[1, 1], 1);
    gives(&plane, &[12.0, 16.0, 24.0, 28.0]);
    let geometry = ConvGeometry {
        input: vec![3],
        kernel: vec![2],
        strides: vec![1],
        dilations: vec![1],
        padding: vec![(1, 0)],
        groups: 1,
    };
    // y = [10·x0, x0 + 10·x1, x1 + 10·x2]
    let conv = |kind, a: &Tensor, b: &Tensor, shape: &[usize]| {
        let op = Op::Conv { kind, geometry: geometry.clone() };
        Tensor::primitive(op, &[a.clone(), b.clone()], shape, DType::F32)
    };
    let (x, dy) = (counted(&[1, 3, 1]), floats(&[1.0, 100.0, 10000.0], &[1, 3, 1]));
    gives(&conv(ConvKind::Forward, &x, &w, &[1, 3, 1]), &[10.0, 21.0, 32.0]);
    gives(&conv(ConvKind::InputGradient, &dy, &w, &[1, 3, 1]), &[110.0, 11000.0, 100_000.0]);
    gives(&conv(ConvKind::KernelGradient, &x, &dy, &[2, 1, 1]), &[20100.0, 30201.0]);
}

#[test]
fn views() {
    let x = counted(&[2, 3]);
    gives(&x.reshape(&[3, 2]).transpose(&[1, 0]), &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    gives(&counted(&[1, 2, 3]).transpose(&[2, 0, 1]), &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    gives(&counted(&[2, 1]).broadcast_to(&[2, 2, 2]), &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    gives(&x.slice_axis(1, 1, 3), &[2.0, 3.0, 5.0, 6.0]);
    gives(&x.flip(1), &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    let line = counted(&[5]);
    let slice = |start: usize, step: i64, count: usize| {
        let op = Op::Slice { start: vec![start], step: vec![step] };
        Tensor::primitive(op, std::slice::from_ref(&line), &[count], DType::F32)
    };
    gives(&slice(0, 2, 3), &[1.0, 3.0, 5.0]);
    gives(&slice(4, -3, 2), &[5.0, 2.0]);
    let pad = Op::Pad { low: vec![1], high: vec![2], interior: vec![1], value: Value::F32(9.0) };
    let padded = Tensor::primitive(pad, &[counted(&[2])], &[6], DType::F32);
    gives(&padded, &[9.0, 1.0, 9.0, 2.0, 9.0, 9.0]);
    gives(&line.window(0, 2, 2, 1), &[1.0, 2.0, 3.0, 4.0]);
    gives(&line.window(0, 2, 1, 3), &[1.0, 4.0, 2.0, 5.0]);
    let unwindow = Op::Unwindow { axis: 0, length: 5, stride: 2, dilation: 1 };
    let apart = Tensor::primitive(unwindow, &[counted(&[2, 2])], &[5, 2], DType::F32);
    gives(&apart, &[1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 4.0, 0.0, 0.0]);
    gives(&Tensor::concat(&[x.clone(), counted(&[2, 1])], 1), &[1.0, 2.0, 3.0, 1.0, 4.0, 5.0, 6.0, 2.0]);
}

#[test]
fn indices() {
    let (x, i) = (counted(&[3, 2]), Tensor::from_slice(&[2, 0, 2]));
    gives(&x.take(&i, 0), &[5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
    gives(&x.take(&Tensor::from_slice(&[1]), 1), &[2.0, 4.0, 6.0]);
    let updates = floats(&[10.0, 20.0, 30.0], &[3]);
    let scattered = |op| floats(&[1.0, 2.0, 15.0], &[3]).scatter(&i, &updates, op);
    gives(&scattered(ScatterOp::Set), &[20.0, 2.0, 30.0]);
    gives(&scattered(ScatterOp::Fold(ReduceOp::Sum)), &[21.0, 2.0, 55.0]);
    gives(&scattered(ScatterOp::Fold(ReduceOp::Prod)), &[20.0, 2.0, 4500.0]);
    gives(&scattered(ScatterOp::Fold(ReduceOp::Max)), &[20.0, 2.0, 30.0]);
    gives(&scattered(ScatterOp::Fold(ReduceOp::Min)), &[1.0, 2.0, 10.0]);
    let keys = floats(&[2.0, NAN, 1.0, 2.0], &[4]);
    gives(&keys.argsort(0, false), &[2.0, 0.0, 3.0, 1.0]);
    gives(&keys.argsort(0, true), &[0.0, 3.0, 2.0, 1.0]);
    gives(&floats(&[3.0, 1.0, 2.0, 4.0], &[2, 2]).sort(0), &[2.0, 1.0, 3.0, 4.0]);
    gives(&floats(&[3.0, 1.0, 2.0], &[3]).top_k(2).0, &[3.0, 2.0]);
}

#[test]
fn the_first_index_out_of_range_is_reported_and_the_nearest_taken() {
    let bad = counted(&[3]).take(&Tensor::from_slice(&[0, 7, -4]), 0);
    let error = interpret_tensors(std::slice::from_ref(&bad)).expect_err("out of range");
    let Error::Device(DeviceError::IndexOutOfRange { op, value, position, bound, at }) = error else {
        panic!("{error}");
    };
    assert_eq!((op.as_str(), value, position, bound), ("take", 7, 1, 3));
    assert!(at.contains("interpreter.rs"), "{at}");
    let (graph, leaves) = kiln_graph::interpret::graph_of(&[], &[bad]).expect("a graph");
    let run = interpret(&graph, &leaves).expect("values");
    assert!(run.failure.is_some());
    assert_eq!(run.outputs, [[1.0, 3.0, 1.0]]);
}

#[test]
fn assignments_are_values_of_state() {
    let at = kiln_graph::At(std::panic::Location::caller());
    let mut graph = Graph::default();
    let state = graph.leaf(Leaf { shape: vec![3], dtype: DType::F32, state: true }, at);
    let slice = Op::Slice { start: vec![1], step: vec![1] };
    let part = graph.add(slice, vec![state], vec![2], DType::F32, at);
    let value = graph.add(Op::Binary(BinaryOp::Mul), vec![part, part], vec![2], DType::F32, at);
    let dead = Node { op: Op::Barrier, inputs: vec![part], shape: vec![2], dtype: DType::F32, at };
    graph.nodes.push(dead);
    graph.assigns.push(Assign { leaf: 0, offset: 1, value });
    graph.outputs.push(part);
    let run = interpret(&graph, &[vec![1.0, 2.0, 3.0]]).expect("values");
    assert_eq!((run.outputs, run.assigned), (vec![vec![2.0, 3.0]], vec![vec![4.0, 9.0]]));
    assert!(interpret(&graph, &[vec![1.0]]).is_err(), "a leaf of another length");
    graph.outputs.push(NodeId(0));
    graph.nodes[1].inputs = vec![NodeId(2)];
    assert!(interpret(&graph, &[vec![1.0, 2.0, 3.0]]).is_err(), "inputs after their node");
}
