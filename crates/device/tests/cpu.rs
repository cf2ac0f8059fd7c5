//! The CPU executor against the naive meaning of the contract, for several numbers of threads.

#[allow(unreachable_pub)]
mod common;

use common::kernels::{self, BOTH, Case, READ, WRITE, affine, floats, kernel, load, map, map_body, store};
use common::naive;
use kiln_device::*;

fn to_host(dtype: DType, values: &[Value]) -> Vec<u8> {
    let bytes = |value: &Value| match (dtype, *value) {
        (DType::F16, Value::F32(v)) => half::f16::from_f32(v).to_ne_bytes().to_vec(),
        (DType::BF16, Value::F32(v)) => half::bf16::from_f32(v).to_ne_bytes().to_vec(),
        (DType::U8 | DType::Bool, v) => vec![v.bits() as u8],
        (dtype, v) => v.bits().to_le_bytes()[..dtype.host_size()].to_vec(),
    };
    values.iter().flat_map(bytes).collect()
}

fn from_host(dtype: DType, bytes: &[u8]) -> Vec<Value> {
    let value = |b: &[u8]| {
        let word = || u32::from_ne_bytes([b[0], b[1], b[2], b[3]]);
        match dtype {
            DType::F32 => Value::F32(f32::from_bits(word())),
            DType::F16 => Value::F32(half::f16::from_ne_bytes([b[0], b[1]]).to_f32()),
            DType::BF16 => Value::F32(half::bf16::from_ne_bytes([b[0], b[1]]).to_f32()),
            DType::I32 => Value::I32(word() as i32),
            DType::U32 => Value::U32(word()),
            DType::U8 => Value::U32(u32::from(b[0])),
            DType::Bool => Value::Bool(b[0] != 0),
            DType::F64 | DType::I64 => unreachable!("see wide.rs"),
        }
    };
    bytes.chunks_exact(dtype.host_size()).map(value).collect()
}

/// A program of one kernel over external buffers.
fn program(kernel: &Kernel, counts: &[usize], checks: Vec<CheckSite>) -> Program {
    let spec = |(n, (count, binding)): (usize, (&usize, &Binding))| BufferSpec {
        role: Role::External(n),
        bytes: count * binding.dtype.host_size(),
    };
    Program {
        buffers: counts.iter().zip(&kernel.buffers).enumerate().map(spec).collect(),
        steps: vec![Step::Launch(Box::new(Launch {
            kernel: kernel.clone(),
            buffers: (0..counts.len()).collect(),
        }))],
        checks,
    }
}

/// The bytes of all buffers after one run.
fn run(device: &Device, case: &Case) -> Vec<Vec<u8>> {
    let counts: Vec<usize> = case.data.iter().map(Vec::len).collect();
    let executable = device.compile(program(&case.kernel, &counts, vec![])).unwrap();
    let bindings = || case.kernel.buffers.iter().zip(&case.data);
    let buffers: Vec<Buffer> =
        bindings().map(|(b, data)| device.buffer_from(b.dtype, &to_host(b.dtype, data)).unwrap()).collect();
    executable.run(&buffers).unwrap();
    let download = |((b, data), buffer): ((&Binding, &Vec<Value>), &Buffer)| {
        device.download(buffer, b.dtype, 0, data.len()).unwrap()
    };
    bindings().zip(&buffers).map(download).collect()
}

fn agree(got: Value, want: Value, tolerance: f32) -> bool {
    match (got, want) {
        // The mark of the naive evaluator for "not specified".
        (Value::F32(_), Value::F32(f32::MAX)) => true,
        (Value::F32(a), Value::F32(b)) => {
            (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= tolerance * b.abs().max(1.0)
        }
        (a, b) => a == b,
    }
}

fn check(case: &Case) {
    let results: Vec<_> = [1, 2, 3].map(|n| run(&Device::cpu_with_threads(n).unwrap(), case)).into();
    let kernel = &case.kernel;
    assert!(results.iter().all(|r| *r == results[0]), "{} depends on threads", kernel.name);
    let cells =
        |(data, b): (&Vec<Value>, &Binding)| data.iter().map(|v| naive::stored(b.dtype, *v)).collect();
    let mut want: naive::Cells = case.data.iter().zip(&kernel.buffers).map(cells).collect();
    naive::run(kernel, &mut want);
    for (n, (bytes, want)) in results[0].iter().zip(&want).enumerate() {
        let dtype = kernel.buffers[n].dtype;
        let tolerance = match dtype {
            DType::F16 => 1e-3,
            DType::BF16 => 8e-3,
            _ => case.tolerance,
        };
        for (at, (got, want)) in from_host(dtype, bytes).into_iter().zip(want).enumerate() {
            let (name, rows, inner) = (&kernel.name, &kernel.rows, &kernel.inner);
            assert!(
                agree(got, *want, tolerance),
                "{name} {rows:?}×{inner:?}: buffer {n} element {at}: {got} instead of {want}"
            );
        }
    }
}

fn case(tolerance: f32, kernel: Kernel, data: Vec<Vec<Value>>) -> Case {
    Case { kernel, data, tolerance }
}

fn zeros(count: usize) -> Vec<Value> {
    vec![Value::F32(0.0); count]
}

fn guard(position: Affine, divisor: i64, extent: i64, stride: i64) -> Guard {
    Guard { position, divisor, extent, stride }
}

#[test]
fn every_kernel_means_what_the_contract_says() {
    kernels::cases().iter().for_each(check);
}

/// `out[row] = Σ x`, and the mean square from a second phase.
fn two_sums(rows: usize, inner: usize, columns: bool) -> Case {
    let from = if columns { map(&[1, rows as i64], 0) } else { map(&[inner as i64, 1], 0) };
    let point = map(&[1, 0], 0);
    let instrs = vec![
        load(0, from, Value::F32(0.0)),
        Instr::Reduce(ReduceOp::Sum, 0),
        Instr::Const(Value::F32(1.0 / inner as f32)),
        Instr::Binary(BinaryOp::Mul, 1, 2),
        Instr::Binary(BinaryOp::Sub, 0, 3),
        Instr::Binary(BinaryOp::Mul, 4, 4),
        Instr::Reduce(ReduceOp::Sum, 5),
        store(1, point.clone(), 3),
        store(2, point, 6),
    ];
    let phases = vec![
        Phase { each: vec![0], after: vec![1, 2, 3, 7] },
        Phase { each: vec![0, 4, 5], after: vec![6, 8] },
    ];
    let body = Body::Row { tape: Tape { instrs }, before: vec![], phases };
    let buffers = [(DType::F32, READ), (DType::F32, WRITE), (DType::F32, WRITE)];
    let data = vec![floats(rows * inner, 3), zeros(rows), zeros(rows)];
    case(1e-4, kernel("two sums", [&[rows], &[inner]], &buffers, body), data)
}

fn sum(rows: usize, inner: usize, columns: bool) -> Case {
    let from = if columns { map(&[1, rows as i64], 0) } else { map(&[inner as i64, 1], 0) };
    let instrs =
        vec![load(0, from, Value::F32(0.0)), Instr::Reduce(ReduceOp::Sum, 0), store(1, map(&[1, 0], 0), 1)];
    let phases = vec![Phase { each: vec![0], after: vec![1, 2] }];
    let body = Body::Row { tape: Tape { instrs }, before: vec![], phases };
    let buffers = [(DType::F32, READ), (DType::F32, WRITE)];
    case(2e-3, kernel("sum", [&[rows], &[inner]], &buffers, body), vec![floats(rows * inner, 4), zeros(rows)])
}

#[test]
fn rows_of_every_shape_agree() {
    for (rows, inner) in
        [(1, 1), (3, 5000), (2, 70_001), (700, 3), (5, 127), (4, 128), (600, 40), (1, 4097), (9, 1024)]
    {
        for columns in [false, true] {
            check(&two_sums(rows, inner, columns));
            check(&sum(rows, inner, columns));
        }
    }
    check(&sum(1, 300_000, false));
    check(&sum(10, 30_000, true));
    check(&sum(700, 300, true));
}

#[test]
fn sums_are_within_the_bound_of_a_tree() {
    for (rows, inner) in [(1, 300_000), (3, 4096), (40, 5000), (1030, 257), (6, 100), (9, 127), (2048, 17)] {
        for columns in [false, true] {
            let case = sum(rows, inner, columns);
            let sums = from_host(DType::F32, &run(&Device::cpu_with_threads(2).unwrap(), &case)[1]);
            for (row, got) in sums.into_iter().enumerate() {
                let at = |i: usize| if columns { i * rows + row } else { row * inner + i };
                let value = |i: usize| f64::from(f32::from_bits(case.data[0][at(i)].word()));
                let exact: f64 = (0..inner).map(value).sum();
                let size: f64 = (0..inner).map(|i| value(i).abs()).sum();
                let bound = 4.0 * (inner as f64).log2() * size / f64::from(1 << 24);
                let error = (f64::from(f32::from_bits(got.word())) - exact).abs();
                assert!(error <= bound, "row {row} of {rows}×{inner}: {error:e} > {bound:e}");
            }
        }
    }
}

/// The maximum of windows of 2 × 2 of images `[n, 2h, 2w, c]`, and its position.
fn pooling([n, h, w, c]: [usize; 4]) -> Case {
    let (hi, wi, ci) = (h as i64, w as i64, c as i64);
    let image = map(&[4 * hi * wi * ci, 4 * wi * ci, 2 * ci, 1, 2 * wi * ci, ci], 0);
    let out = map(&[hi * wi * ci, wi * ci, ci, 1, 0, 0], 0);
    let instrs = vec![
        load(0, image, Value::F32(0.0)),
        Instr::Reduce(ReduceOp::Max, 0),
        Instr::Compare(CompareOp::Eq, 0, 1),
        Instr::Index(affine(&[0, 0, 0, 0, 2, 1], 0)),
        Instr::Const(Value::I32(4)),
        Instr::Select(2, 3, 4),
        Instr::Reduce(ReduceOp::Min, 5),
        store(1, out.clone(), 6),
        store(2, out, 1),
    ];
    let phases =
        vec![Phase { each: vec![0], after: vec![1, 8] }, Phase { each: vec![0, 2, 3, 5], after: vec![6, 7] }];
    let body = Body::Row { tape: Tape { instrs }, before: vec![4], phases };
    let buffers = [(DType::F32, READ), (DType::I32, WRITE), (DType::F32, WRITE)];
    let points = n * h * w * c;
    let data = vec![floats(4 * points, 8), vec![Value::I32(0); points], zeros(points)];
    case(0.0, kernel("pooling", [&[n, h, w, c], &[2, 2]], &buffers, body), data)
}

/// Adds to images `[n, 2h, 2w, c]`, in place, `scale` times what stands at the window that each pixel is in.
fn unpooling([n, h, w, c]: [usize; 4]) -> Case {
    let (hi, wi, ci) = (h as i64, w as i64, c as i64);
    let image = map(&[4 * hi * wi * ci, 4 * wi * ci, 2 * wi * ci, 2 * ci, ci, 1], 0);
    let windows = map(&[hi * wi * ci, wi * ci, 0, ci, 0, 1], 0);
    let instrs = vec![
        load(0, image.clone(), Value::F32(0.0)),
        load(1, windows, Value::F32(0.0)),
        load(2, map(&[0; 6], 1), Value::F32(0.0)),
        Instr::Unary(UnaryOp::Neg, 2),
        Instr::Binary(BinaryOp::Mul, 1, 3),
        Instr::Index(affine(&[0, 0, 1, 0, 2, 0], 5)),
        Instr::Cast(Scalar::F32, 5),
        Instr::Binary(BinaryOp::Add, 4, 6),
        Instr::Binary(BinaryOp::Add, 0, 7),
        store(0, image, 8),
    ];
    let buffers = [(DType::F32, BOTH), (DType::F32, READ), (DType::F32, READ)];
    let points = n * h * w * c;
    let data = vec![floats(4 * points, 8), floats(points, 9), floats(2, 10)];
    case(1e-6, kernel("unpooling", [&[n, h, 2, w, 2, c], &[]], &buffers, map_body(instrs)), data)
}

#[test]
fn windows_side_by_side_agree() {
    for sizes in
        [[3, 5, 7, 3], [2, 3, 13, 32], [5, 1, 2, 600], [2, 2, 1, 1500], [1, 4, 5, 1], [1, 1, 1030, 2]]
    {
        check(&pooling(sizes));
        check(&unpooling(sizes));
    }
}

/// A contraction of f32 buffers 0 and 1 into 2, doubled by the epilogue.
fn contraction(loops: [&[usize]; 2], m: usize, [lhs, rhs, out]: [Map; 3], sizes: [usize; 3]) -> Case {
    let instrs = vec![Instr::Accumulator, Instr::Binary(BinaryOp::Add, 0, 0), store(2, out, 1)];
    let body = Body::Contract {
        batch: 0,
        m,
        lhs: Operand { buffer: 0, map: lhs },
        rhs: Operand { buffer: 1, map: rhs },
        epilogue: Tape { instrs },
    };
    let buffers = [(DType::F32, READ), (DType::F32, READ), (DType::F32, WRITE)];
    let data = vec![floats(sizes[0], 5), floats(sizes[1], 6), zeros(sizes[2])];
    case(1e-3, kernel("contraction", loops, &buffers, body), data)
}

/// The same with nothing but a store as its epilogue.
fn plainly(mut case: Case) -> Case {
    if let Body::Contract { epilogue, .. } = &mut case.kernel.body
        && let Some(Instr::Store { map, .. }) = epilogue.instrs.pop()
    {
        epilogue.instrs = vec![Instr::Accumulator, store(2, map, 0)];
    }
    case
}

#[test]
fn matrix_products_of_every_edge_agree() {
    for [m, n, k] in [
        [1, 1, 1],
        [13, 33, 257],
        [145, 64, 300],
        [25, 513, 10],
        [12, 32, 256],
        [300, 96, 270],
        [300, 5, 7],
        [6, 8, 5000],
    ] {
        let (mi, ni, ki) = (m as i64, n as i64, k as i64);
        for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
            let lhs = if left { map(&[1, 0, mi], 0) } else { map(&[ki, 0, 1], 0) };
            let rhs = if right { map(&[0, ki, 1], 0) } else { map(&[0, 1, ni], 0) };
            let maps = [lhs, rhs, map(&[ni, 1, 0], 0)];
            let doubled = contraction([&[m, n], &[k]], 1, maps, [m * k, k * n, m * n]);
            check(&doubled);
            check(&plainly(doubled));
        }
    }
}

const IMAGE: [usize; 4] = [2, 9, 8, 5];

/// A padded image `[n, h, w, c]` at window positions; the two given affine functions are its row and column.
fn image(base: Affine, [y, x]: [Affine; 2], divisor: i64, [h, w, c]: [i64; 3]) -> Map {
    Map { base, guards: vec![guard(y, divisor, h, w * c), guard(x, divisor, w, c)] }
}

#[test]
fn convolutions_and_their_gradients_agree() {
    let [n, h, w, ci] = IMAGE;
    let co = 40;
    let (hi, wi, cin, coi) = (h as i64, w as i64, ci as i64, co as i64);
    let sizes = [n * h * w * ci, 9 * ci * co, n * h * w * co];
    // rows: n y x | co; inner: kh kw ci.
    let x = image(
        affine(&[hi * wi * cin, 0, 0, 0, 0, 0, 1], 0),
        [affine(&[0, 1, 0, 0, 1, 0, 0], -1), affine(&[0, 0, 1, 0, 0, 1, 0], -1)],
        1,
        [hi, wi, cin],
    );
    let filter = map(&[0, 0, 0, 1, 3 * cin * coi, cin * coi, coi], 0);
    let out = map(&[hi * wi * coi, wi * coi, coi, 1, 0, 0, 0], 0);
    check(&contraction([&[n, h, w, co], &[3, 3, ci]], 3, [x, filter, out], sizes));
    // The gradient of the filter. rows: kh kw ci | co; inner: n y x.
    let x = image(
        affine(&[0, 0, 1, 0, hi * wi * cin, 0, 0], 0),
        [affine(&[1, 0, 0, 0, 0, 1, 0], -1), affine(&[0, 1, 0, 0, 0, 0, 1], -1)],
        1,
        [hi, wi, cin],
    );
    let g = map(&[0, 0, 0, 1, hi * wi * coi, wi * coi, coi], 0);
    let out = map(&[3 * cin * coi, cin * coi, coi, 1, 0, 0, 0], 0);
    check(&contraction([&[3, 3, ci, co], &[n, h, w]], 3, [x, g, out], [sizes[0], sizes[2], sizes[1]]));
    // Transposed, stride 2 (the gradient of the images). rows: n y x | co; inner: kh kw ci.
    let x = image(
        affine(&[hi * wi * cin, 0, 0, 0, 0, 0, 1], 0),
        [affine(&[0, 1, 0, 0, -1, 0, 0], 1), affine(&[0, 0, 1, 0, 0, -1, 0], 1)],
        2,
        [hi, wi, cin],
    );
    let filter = map(&[0, 0, 0, 1, 3 * cin * coi, cin * coi, coi], 0);
    let (oh, ow) = (2 * h, 2 * w);
    let out = map(&[(oh * ow) as i64 * coi, ow as i64 * coi, coi, 1, 0, 0, 0], 0);
    check(&contraction(
        [&[n, oh, ow, co], &[3, 3, ci]],
        3,
        [x, filter, out],
        [sizes[0], sizes[1], n * oh * ow * co],
    ));
}

#[test]
fn large_maps_with_guards_agree() {
    let padded = Map {
        base: affine(&[0, 0, 1], 0),
        guards: vec![guard(affine(&[1, 0, 0], -3), 1, 60, 700), guard(affine(&[0, -2, 0], 90), 3, 20, 35)],
    };
    let instrs = vec![
        load(0, padded, Value::F32(9.0)),
        Instr::Unary(UnaryOp::Tanh, 0),
        load(1, map(&[0, 1, 0], 0), Value::F32(0.0)),
        Instr::Binary(BinaryOp::Sub, 2, 1),
        store(2, map(&[1, 70, 4900], 0), 3),
    ];
    let buffers = [(DType::F32, READ), (DType::F32, READ), (DType::F32, BOTH)];
    let data = vec![floats(60 * 700, 1), floats(70, 2), zeros(70 * 70 * 35)];
    check(&case(1e-6, kernel("padded", [&[70, 70, 35], &[]], &buffers, map_body(instrs)), data));
}

#[test]
fn checks_report_the_first_failure_and_finish_the_program() {
    let n = 100_000;
    let instrs = vec![
        load(0, map(&[1], 0), Value::I32(0)),
        Instr::Const(Value::I32(50)),
        Instr::Compare(CompareOp::Lt, 0, 1),
        Instr::Index(affine(&[1], 0)),
        Instr::Check { ok: 2, value: 0, position: 3, site: 0 },
        store(1, map(&[1], 0), 0),
    ];
    let kernel = kernel("check", [&[n], &[]], &[(DType::I32, READ), (DType::I32, WRITE)], map_body(instrs));
    let site = CheckSite { op: "gather".into(), bound: 50, at: String::new() };
    for threads in [1, 3] {
        let device = Device::cpu_with_threads(threads).unwrap();
        let executable = device.compile(program(&kernel, &[n, n], vec![site.clone()])).unwrap();
        let mut host = vec![7i32; n];
        (host[70_001], host[99_000], host[70_500]) = (60, 80, 70);
        let bytes: Vec<u8> = host.iter().flat_map(|v| v.to_ne_bytes()).collect();
        let buffers =
            [device.buffer_from(DType::I32, &bytes).unwrap(), device.allocate(DType::I32, n).unwrap()];
        assert_eq!(executable.run(&buffers), Err(site.error(60, 70_001)));
        assert_eq!(device.download(&buffers[1], DType::I32, 0, n).unwrap(), bytes);
        assert_eq!(executable.profile(&buffers).err(), Some(site.error(60, 70_001)));
    }
}

#[test]
fn memory_is_bounded_accounted_and_used_again() {
    let device = Device::cpu_with_threads(1).unwrap();
    device.set_memory_budget(10_000);
    let first = device.allocate(DType::F32, 1000).unwrap();
    assert_eq!(device.memory_in_use(), 4000);
    let error = device.allocate(DType::F32, 2000).unwrap_err();
    assert!(
        matches!(error, Error::OutOfMemory { requested: 8000, in_use: 4000, limit: 10_000, .. }),
        "{error}"
    );
    drop(first);
    assert_eq!((device.memory_in_use(), device.memory_peak()), (0, 4000));
    assert!(device.allocate(DType::F32, 2000).is_ok());
    device.set_memory_budget(u64::MAX);
    assert!(matches!(device.allocate(DType::F32, 1 << 58), Err(Error::OutOfMemory { .. })));
}

#[test]
fn wrong_bindings_are_errors_and_copies_copy() {
    let device = Device::cpu_with_threads(2).unwrap();
    let n = 3_000_000;
    let spec = |n, bytes| BufferSpec { role: Role::External(n), bytes };
    let temporary = BufferSpec { role: Role::Temporary, bytes: n };
    let step = |from, to| Step::Copy { from, to, dtype: DType::U8, count: n };
    let program = Program {
        buffers: vec![spec(0, n), temporary, spec(1, n)],
        steps: vec![step(0, 1), step(1, 2)],
        checks: vec![],
    };
    let executable = device.compile(program).unwrap();
    let host: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
    let buffers = [device.buffer_from(DType::U8, &host).unwrap(), device.allocate(DType::U8, n).unwrap()];
    executable.run(&buffers).unwrap();
    assert_eq!(device.download(&buffers[1], DType::U8, 0, n).unwrap(), host);
    assert_eq!(executable.profile(&buffers).unwrap().len(), 2);
    assert!(matches!(executable.run(&buffers[..1]), Err(Error::Buffer(_))));
    let short = device.allocate(DType::U8, 5).unwrap();
    assert!(matches!(executable.run(&[short.clone(), short]), Err(Error::Buffer(_))));
}
