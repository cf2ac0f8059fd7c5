//! Kernels with 64-bit values: those of the common list in `f64` and `i64`, and what is theirs alone, against the naive
//! meaning of the contract and for several numbers of threads.

#[allow(unreachable_pub)]
mod common;

use common::kernels::{
    self, BOTH, Case, READ, WRITE, affine, floats, kernel, load, map, map_body, store, words,
};
use common::naive;
use kiln_device::*;

fn to_host(dtype: DType, values: &[Value]) -> Vec<u8> {
    let bytes = |value: &Value| match (dtype, *value) {
        (DType::F16, Value::F32(v)) => half::f16::from_f32(v).to_ne_bytes().to_vec(),
        (DType::BF16, Value::F32(v)) => half::bf16::from_f32(v).to_ne_bytes().to_vec(),
        (dtype, v) => v.bits().to_le_bytes()[..dtype.host_size()].to_vec(),
    };
    values.iter().flat_map(bytes).collect()
}

fn from_host(dtype: DType, bytes: &[u8]) -> Vec<Value> {
    let value = |b: &[u8]| {
        let mut wide = [0; 8];
        wide[..b.len()].copy_from_slice(b);
        let bits = u64::from_le_bytes(wide);
        match dtype {
            DType::F32 => Value::F32(f32::from_bits(bits as u32)),
            DType::F64 => Value::F64(f64::from_bits(bits)),
            DType::F16 => Value::F32(half::f16::from_bits(bits as u16).to_f32()),
            DType::BF16 => Value::F32(half::bf16::from_bits(bits as u16).to_f32()),
            DType::I32 => Value::I32(bits as i32),
            DType::I64 => Value::I64(bits as i64),
            DType::U32 | DType::U8 => Value::U32(bits as u32),
            DType::Bool => Value::Bool(bits != 0),
        }
    };
    bytes.chunks_exact(dtype.host_size()).map(value).collect()
}

/// The contents of all buffers after one run.
fn run(threads: usize, case: &Case, checks: Vec<CheckSite>) -> Result<Vec<Vec<Value>>> {
    let device = Device::cpu_with_threads(threads)?;
    let bindings = || case.kernel.buffers.iter().zip(&case.data);
    let spec = |(n, (binding, data)): (usize, (&Binding, &Vec<Value>))| BufferSpec {
        role: Role::External(n),
        bytes: data.len() * binding.dtype.host_size(),
    };
    let launch = Launch { kernel: case.kernel.clone(), buffers: (0..case.data.len()).collect() };
    let program = Program {
        buffers: bindings().enumerate().map(spec).collect(),
        steps: vec![Step::Launch(Box::new(launch))],
        checks,
    };
    let upload = |(b, data): (&Binding, &Vec<Value>)| device.buffer_from(b.dtype, &to_host(b.dtype, data));
    let buffers = bindings().map(upload).collect::<Result<Vec<Buffer>>>()?;
    device.compile(program)?.run(&buffers)?;
    let download = |((b, data), buffer): ((&Binding, &Vec<Value>), &Buffer)| {
        Ok(from_host(b.dtype, &device.download(buffer, b.dtype, 0, data.len())?))
    };
    bindings().zip(&buffers).map(download).collect()
}

/// `tolerance` is that of `f64`, relative to the larger of 1 and the value.
fn check(case: &Case, tolerance: f64) {
    let results = [1, 2, 3].map(|threads| run(threads, case, vec![]).unwrap());
    let kernel = &case.kernel;
    assert!(results.iter().all(|r| *r == results[0]), "{} depends on threads", kernel.name);
    let cells =
        |(data, b): (&Vec<Value>, &Binding)| data.iter().map(|v| naive::stored(b.dtype, *v)).collect();
    let mut want: naive::Cells = case.data.iter().zip(&kernel.buffers).map(cells).collect();
    naive::run(kernel, &mut want);
    for (n, (got, want)) in results[0].iter().zip(&want).enumerate() {
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            let near = |a: f64, b: f64, tolerance: f64| {
                (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= tolerance * b.abs().max(1.0)
            };
            let agree = match (*got, *want) {
                (Value::F64(a), Value::F64(b)) => near(a, b, tolerance),
                (Value::F32(_), Value::F32(f32::MAX)) => true,
                (Value::F32(a), Value::F32(b)) => near(a.into(), b.into(), 1e-3),
                (a, b) => a == b,
            };
            let (name, rows, inner) = (&kernel.name, &kernel.rows, &kernel.inner);
            assert!(agree, "{name} {rows:?}×{inner:?}: buffer {n} element {at}: {got} instead of {want}");
        }
    }
}

fn doubled(value: Value) -> Value {
    if let Value::F32(v) = value { Value::F64(v.into()) } else { value }
}

fn widened(instr: &Instr) -> Instr {
    let mut instr = instr.clone();
    match &mut instr {
        Instr::Const(value) | Instr::Load { fill: value, .. } => *value = doubled(*value),
        Instr::Cast(scalar, _) if *scalar == Scalar::F32 => *scalar = Scalar::F64,
        _ => {}
    }
    instr
}

/// A kernel with `f64` wherever it has `f32`.
fn in_doubles(case: &Case) -> Case {
    let mut kernel = case.kernel.clone();
    kernel.name += " in f64";
    for binding in &mut kernel.buffers {
        if binding.dtype == DType::F32 {
            binding.dtype = DType::F64;
        }
    }
    let widen = |tape: &mut Tape| tape.instrs = tape.instrs.iter().map(widened).collect();
    widen(&mut kernel.once);
    match &mut kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } | Body::Contract { epilogue: tape, .. } => widen(tape),
        _ => {}
    }
    let data = case.data.iter().map(|list| list.iter().map(|v| doubled(*v)).collect()).collect();
    Case { kernel, data, tolerance: case.tolerance }
}

#[test]
fn every_kernel_means_the_same_in_doubles() {
    let mut count = 0;
    for case in kernels::cases() {
        let wide = in_doubles(&case);
        // What looks at 32 bits, or mixes halves with singles, has no such form.
        let halves = |b: &Binding| matches!(b.dtype, DType::F16 | DType::BF16);
        let any = wide.kernel.buffers.iter().any(|b| b.dtype == DType::F64);
        if any && !wide.kernel.buffers.iter().any(halves) && wide.kernel.verify().is_ok() {
            check(&wide, 2e-12);
            count += 1;
        }
    }
    assert!(count > 30, "{count} kernels have a form in f64");
}

/// A row of several passes that is one block, and one that is not.
#[test]
fn rows_agree_whether_passes_keep_them_or_not() {
    for (rows, inner) in [(3, 2048), (3, 2049), (2, 5000), (40, 1024)] {
        check(&in_doubles(&kernels::bodies::softmax(rows, inner)), 2e-12);
    }
}

/// Numbers of all sizes, beyond 2⁵³ and at the ends among them.
fn wholes(count: usize, seed: u32) -> Vec<Value> {
    let pairs: Vec<u32> = words(2 * count, seed);
    let mut list: Vec<Value> = pairs
        .chunks(2)
        .map(|p| {
            let bits = u64::from(p[0]) << 32 | u64::from(p[1]);
            Value::I64((bits as i64) >> (p[1] % 61))
        })
        .collect();
    for (slot, special) in list.iter_mut().zip([0, 1, -1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1, 7]) {
        *slot = Value::I64(special);
    }
    list
}

fn zeros(count: usize) -> Vec<Value> {
    vec![Value::I64(0); count]
}

fn exact(kernel: Kernel, data: Vec<Vec<Value>>) {
    check(&Case { kernel, data, tolerance: 0.0 }, 0.0);
}

#[test]
fn integers_wrap_in_64_bits() {
    let n = 600;
    let mut instrs = vec![load(0, map(&[1], 0), Value::I64(0)), load(1, map(&[1], 0), Value::I64(0))];
    let mut slot = 0;
    let mut put = |instrs: &mut Vec<Instr>, instr: Instr| {
        instrs.push(instr);
        let value = instrs.len() as Reg - 1;
        instrs.push(store(2, map(&[1], slot * n as i64), value));
        slot += 1;
    };
    for op in UnaryOp::ALL.iter().filter(|op| op.result(Scalar::I64) == Some(Scalar::I64)) {
        put(&mut instrs, Instr::Unary(*op, 0));
    }
    // Powers of large exponents are for a test of their own: the naive meaning multiplies one by one.
    for op in BinaryOp::ALL.iter().filter(|op| op.accepts(Scalar::I64) && **op != BinaryOp::Pow) {
        put(&mut instrs, Instr::Binary(*op, 0, 1));
    }
    let buffers = [(DType::I64, READ), (DType::I64, READ), (DType::I64, WRITE)];
    let mut second = wholes(n, 2);
    second.reverse();
    exact(
        kernel("i64", [&[n], &[]], &buffers, map_body(instrs)),
        vec![wholes(n, 1), second, zeros(slot as usize * n)],
    );
}

#[test]
fn integers_compare_and_convert_exactly() {
    let n = 300;
    let mut instrs = vec![load(0, map(&[1], 0), Value::I64(0)), load(1, map(&[1], 0), Value::I64(0))];
    let mut buffers = vec![(DType::I64, READ), (DType::I64, READ)];
    let mut data = vec![wholes(n, 3), wholes(n, 4)];
    let mut put = |instrs: &mut Vec<Instr>, dtype: DType, instr: Instr| {
        instrs.push(instr);
        let value = instrs.len() as Reg - 1;
        instrs.push(store(buffers.len(), map(&[1], 0), value));
        buffers.push((dtype, WRITE));
        data.push(vec![Value::zero(dtype.scalar()); n]);
    };
    for op in CompareOp::ALL {
        put(&mut instrs, DType::Bool, Instr::Compare(*op, 0, 1));
    }
    for scalar in [Scalar::F32, Scalar::F64, Scalar::I32, Scalar::U32, Scalar::Bool] {
        put(&mut instrs, scalar.dtype(), Instr::Cast(scalar, 0));
        if scalar != Scalar::Bool {
            let narrow = instrs.len() as Reg - 2;
            put(&mut instrs, DType::I64, Instr::Cast(Scalar::I64, narrow));
        }
    }
    put(&mut instrs, DType::F64, Instr::Bitcast(Scalar::F64, 1));
    exact(kernel("compare i64", [&[n], &[]], &buffers, map_body(instrs)), data);
}

#[test]
fn powers_wrap() {
    let data = [
        (3i64, 41i64),
        (-7, 23),
        (2, 64),
        (2, 63),
        (-1, 1 << 40),
        (-1, (1 << 40) + 1),
        (3, i64::MAX),
        (0, 0),
    ];
    for (a, b) in data {
        let want = (0..64).rev().fold(1i64, |power, bit| {
            let square = power.wrapping_mul(power);
            if b >> bit & 1 == 1 { square.wrapping_mul(a) } else { square }
        });
        assert_eq!(math::binary_i64(BinaryOp::Pow, a, b), want, "{a}^{b}");
    }
    assert_eq!(math::binary_i64(BinaryOp::Pow, -1, -3), -1);
    assert_eq!(math::binary_i64(BinaryOp::Pow, 5, -3), 0);
}

fn reduction(op: ReduceOp, rows: usize, inner: usize, columns: bool) {
    let from = if columns { map(&[1, rows as i64], 0) } else { map(&[inner as i64, 1], 0) };
    let instrs = vec![load(0, from, Value::I64(0)), Instr::Reduce(op, 0), store(1, map(&[1, 0], 0), 1)];
    let phases = vec![Phase { each: vec![0], after: vec![1, 2] }];
    let body = Body::Row { tape: Tape { instrs }, before: vec![], phases };
    let buffers = [(DType::I64, READ), (DType::I64, WRITE)];
    exact(
        kernel("reduce i64", [&[rows], &[inner]], &buffers, body),
        vec![wholes(rows * inner, 5), zeros(rows)],
    );
}

#[test]
fn reductions_of_every_shape_are_exact() {
    for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min] {
        for (rows, inner) in
            [(1, 1), (3, 5000), (700, 3), (40, 129), (5, 0), (0, 4), (1, 300_000), (100, 3000)]
        {
            for columns in [false, true] {
                reduction(op, rows, inner, columns);
            }
        }
    }
}

#[test]
fn sums_are_within_the_bound_of_a_tree() {
    for (rows, inner) in [(1, 300_000), (40, 5000), (1030, 257), (9, 127)] {
        for columns in [false, true] {
            let from = if columns { map(&[1, rows as i64], 0) } else { map(&[inner as i64, 1], 0) };
            let instrs = vec![
                load(0, from, Value::F64(0.0)),
                Instr::Reduce(ReduceOp::Sum, 0),
                store(1, map(&[1, 0], 0), 1),
            ];
            let phases = vec![Phase { each: vec![0], after: vec![1, 2] }];
            let body = Body::Row { tape: Tape { instrs }, before: vec![], phases };
            let buffers = [(DType::F64, READ), (DType::F64, WRITE)];
            // Whole multiples of 2⁻⁵⁰, so that the exact sum is one of integers.
            let unit = 2f64.powi(-50);
            let numbers: Vec<i64> = words(2 * rows * inner, 6)
                .chunks(2)
                .map(|p| (i64::from(p[0]) << 18) ^ i64::from(p[1]))
                .collect();
            let data = numbers.iter().map(|n| Value::F64(*n as f64 * unit)).collect();
            let kernel = kernel("sum f64", [&[rows], &[inner]], &buffers, body);
            let case = Case { kernel, data: vec![data, vec![Value::F64(0.0); rows]], tolerance: 0.0 };
            for (row, got) in run(2, &case, vec![]).unwrap()[1].iter().enumerate() {
                let at = |i: usize| if columns { i * rows + row } else { row * inner + i };
                let exact: i128 = (0..inner).map(|i| i128::from(numbers[at(i)])).sum();
                let error = (got.as_f64() / unit - exact as f64).abs();
                let bound = 8.0 * (inner as f64).log2() * exact as f64 * f64::EPSILON;
                assert!(error <= bound, "row {row} of {rows}×{inner}: {error:e} > {bound:e}");
            }
        }
    }
}

fn product(dtype: DType, [batch, m, n, k]: [usize; 4], transposed: [bool; 2], data: [Vec<Value>; 2]) -> Case {
    let (mi, ni, ki) = (m as i64, n as i64, k as i64);
    let lhs = if transposed[0] { map(&[mi * ki, 1, 0, mi], 0) } else { map(&[mi * ki, ki, 0, 1], 0) };
    let rhs = if transposed[1] { map(&[ki * ni, 0, ki, 1], 0) } else { map(&[ki * ni, 0, 1, ni], 0) };
    let instrs = vec![
        Instr::Accumulator,
        Instr::Binary(BinaryOp::Add, 0, 0),
        store(2, map(&[mi * ni, ni, 1, 0], 0), 1),
    ];
    let operand = |buffer, map| Operand { buffer, map };
    let body = Body::Contract {
        batch: 1,
        m: 1,
        lhs: operand(0, lhs),
        rhs: operand(1, rhs),
        epilogue: Tape { instrs },
    };
    let buffers = [(dtype, READ), (dtype, READ), (dtype, WRITE)];
    let [a, b] = data;
    let zeros = vec![Value::zero(dtype.scalar()); batch * m * n];
    Case {
        kernel: kernel("product", [&[batch, m, n], &[k]], &buffers, body),
        data: vec![a, b, zeros],
        tolerance: 0.0,
    }
}

#[test]
fn products_of_every_edge_agree() {
    let sizes = [
        [1, 1, 1, 1],
        [1, 13, 33, 257],
        [2, 145, 64, 300],
        [1, 25, 513, 10],
        [1, 300, 5, 7],
        [3, 1, 9, 600],
        [1, 4, 5, 0],
        [1, 0, 5, 3],
    ];
    for size in sizes {
        let [batch, m, n, k] = size;
        for transposed in [[false, false], [true, false], [false, true], [true, true]] {
            let (a, b) = (floats(batch * m * k, 1), floats(batch * k * n, 2));
            let double = |list: Vec<Value>| list.into_iter().map(doubled).collect::<Vec<_>>();
            check(&product(DType::F64, size, transposed, [double(a), double(b)]), 1e-12);
            let wholes = [wholes(batch * m * k, 3), wholes(batch * k * n, 4)];
            check(&product(DType::I64, size, transposed, wholes), 0.0);
        }
    }
}

/// A product of `f32` (or `i32`) whose epilogue goes on in `f64`: the whole kernel is executed in 64 bits.
#[test]
fn an_epilogue_may_be_wider_than_its_product() {
    for dtype in [DType::F32, DType::I32] {
        let whole =
            |count, seed| words(count, seed).into_iter().map(|w| Value::I32((w % 50) as i32)).collect();
        let data = match dtype {
            DType::F32 => [floats(9 * 40, 1), floats(40 * 17, 2)],
            _ => [whole(9 * 40, 1), whole(40 * 17, 2)],
        };
        let mut case = product(dtype, [1, 9, 17, 40], [false, false], data);
        if let Body::Contract { epilogue, .. } = &mut case.kernel.body {
            epilogue.instrs.insert(1, Instr::Cast(Scalar::F64, 0));
            epilogue.instrs[2] = Instr::Binary(BinaryOp::Mul, 1, 1);
            epilogue.instrs[3] = store(2, map(&[9 * 17, 17, 1, 0], 0), 2);
        }
        case.kernel.buffers[2].dtype = DType::F64;
        case.data[2] = vec![Value::F64(0.0); 9 * 17];
        check(&case, if dtype == DType::F32 { 1e-3 } else { 0.0 });
    }
}

#[test]
fn arrays_of_integers_agree() {
    for op in [ScatterOp::Set, ScatterOp::Fold(ReduceOp::Sum), ScatterOp::Fold(ReduceOp::Max)] {
        for (targets, updates, width) in [(7, 600, 3), (5, 0, 4), (4, 9, 300)] {
            let body = Body::Scatter { op, targets, updates, width };
            let indices =
                words(updates, 9).into_iter().map(|w| Value::I32(w as i32 % (2 * targets as i32))).collect();
            let data =
                vec![wholes(targets * width, 5), indices, wholes(updates * width, 6), zeros(targets * width)];
            let buffers = [(DType::I64, READ), (DType::I32, READ), (DType::I64, READ), (DType::I64, WRITE)];
            exact(kernel("scatter i64", [&[], &[]], &buffers, body.clone()), data.clone());
            let buffers = [(DType::I64, BOTH), (DType::I32, READ), (DType::I64, READ)];
            exact(kernel("scatter i64 in place", [&[], &[]], &buffers, body), data[..3].to_vec());
        }
    }
    for descending in [false, true] {
        let body = Body::Sort { lines: 3, length: 700, descending };
        let buffers = [(DType::I64, READ), (DType::I64, WRITE), (DType::I32, WRITE)];
        let data = vec![wholes(2100, 7), zeros(2100), vec![Value::I32(0); 2100]];
        exact(kernel("sort i64", [&[], &[]], &buffers, body), data);
    }
    for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Min] {
        for [outer, length, inner] in [[3, 20, 5], [2, 9, 1], [1, 4, 1100], [2, 0, 3]] {
            let n = outer * length * inner;
            let body = Body::Scan { op, outer, length, inner, reverse: op == ReduceOp::Prod };
            let buffers = [(DType::I64, READ), (DType::I64, WRITE)];
            exact(kernel("scan i64", [&[], &[]], &buffers, body), vec![wholes(n, 8), zeros(n)]);
        }
    }
}

/// A 64-bit scalar that rides along with a kernel of 32 bits, and one of 32 bits beside a kernel of 64.
#[test]
fn scalars_of_either_width_ride_along() {
    for (dtype, one) in [(DType::F32, Value::I64(1)), (DType::F64, Value::I32(1))] {
        let zero = Value::zero(dtype.scalar());
        let instrs =
            vec![load(0, map(&[1], 0), zero), Instr::Unary(UnaryOp::Exp, 0), store(1, map(&[1], 0), 1)];
        let counter = one.scalar().dtype();
        let buffers = [(dtype, READ), (dtype, WRITE), (counter, BOTH)];
        let mut kernel = kernel("counter", [&[900], &[]], &buffers, map_body(instrs));
        kernel.once.instrs = vec![
            load(2, map(&[0], 0), Value::zero(one.scalar())),
            Instr::Const(one),
            Instr::Binary(BinaryOp::Add, 0, 1),
            store(2, map(&[0], 0), 2),
        ];
        let numbers: Vec<Value> = floats(900, 3);
        let numbers = if dtype == DType::F64 { numbers.into_iter().map(doubled).collect() } else { numbers };
        let data = vec![numbers, vec![zero; 900], vec![Value::zero(one.scalar())]];
        check(&Case { kernel, data, tolerance: 0.0 }, 1e-14);
    }
}

#[test]
fn a_check_reports_all_64_bits_of_a_value() {
    let instrs = vec![
        load(0, map(&[1], 0), Value::I64(0)),
        Instr::Const(Value::I64(10)),
        Instr::Compare(CompareOp::Lt, 0, 1),
        Instr::Index(affine(&[1], 0)),
        Instr::Check { ok: 2, value: 0, position: 3, site: 0 },
    ];
    let kernel = kernel("check", [&[5], &[]], &[(DType::I64, READ)], map_body(instrs));
    let data = vec![[3, 9, 1 << 40, 2, 77].map(Value::I64).to_vec()];
    let site = CheckSite { op: "gather".into(), bound: 10, at: String::new() };
    let error = run(2, &Case { kernel, data, tolerance: 0.0 }, vec![site.clone()]).unwrap_err();
    assert_eq!(error, site.error(1 << 40, 2));
}

#[test]
fn single_precision_has_the_same_bits_in_a_wide_kernel() {
    let n = 2000;
    let numbers = floats(n, 11);
    let body = |wide: bool| {
        let mut instrs = vec![load(0, map(&[1], 0), Value::F32(0.0))];
        for op in [UnaryOp::Exp, UnaryOp::Tanh, UnaryOp::Sin, UnaryOp::Erf, UnaryOp::Log1p] {
            instrs.push(Instr::Unary(op, instrs.len() as Reg - 1));
        }
        let last = instrs.len() as Reg - 1;
        instrs.push(store(1, map(&[1], 0), last));
        if wide {
            instrs.push(Instr::Cast(Scalar::F64, last));
            instrs.push(store(2, map(&[1], 0), last + 2));
        }
        map_body(instrs)
    };
    let buffers = [(DType::F32, READ), (DType::F32, WRITE), (DType::F64, WRITE)];
    let zeros = vec![Value::F32(0.0); n];
    let wide = Case {
        kernel: kernel("wide", [&[n], &[]], &buffers, body(true)),
        data: vec![numbers.clone(), zeros.clone(), vec![Value::F64(0.0); n]],
        tolerance: 0.0,
    };
    let narrow = Case {
        kernel: kernel("narrow", [&[n], &[]], &buffers[..2], body(false)),
        data: vec![numbers, zeros],
        tolerance: 0.0,
    };
    let (wide, narrow) = (run(2, &wide, vec![]).unwrap(), run(2, &narrow, vec![]).unwrap());
    assert_eq!(wide[1], narrow[1]);
    assert!(wide[2].iter().zip(&narrow[1]).all(|(a, b)| a.as_f64() == b.as_f64()));
}

/// Distance in units of the last place.
fn ulps(got: f64, want: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let unit = want.abs().next_up() - want.abs();
    (got - want).abs() / unit
}

/// The functions against the system's library, which is within about one unit of the truth, over all sizes.
#[test]
fn transcendental_functions_are_within_a_few_units() {
    let samples = || {
        let bits = words(40_000, 12);
        let any = bits
            .chunks(2)
            .map(|p| f64::from_bits(u64::from(p[0]) << 32 | u64::from(p[1])))
            .collect::<Vec<_>>();
        let near = words(20_000, 13)
            .into_iter()
            .map(|w| f64::from(w as i32) / f64::from(1 << 27))
            .collect::<Vec<_>>();
        any.into_iter().chain(near)
    };
    let smooth = |op: &UnaryOp| !matches!(op, UnaryOp::Not | UnaryOp::IsNan);
    for op in UnaryOp::ALL.iter().filter(|op| smooth(op)) {
        let bound = match op {
            // Of a sum and a quotient; the reference of erf is within 2·10⁻¹⁵.
            UnaryOp::Sigmoid => 4.0,
            UnaryOp::Erf => 16.0,
            _ => 3.0,
        };
        for x in samples() {
            // The reference sums what cancels beyond.
            if *op == UnaryOp::Sigmoid && x < -700.0 {
                continue;
            }
            let (got, want) = (math::unary_double(*op, x), math::unary_f64(*op, x));
            assert!(ulps(got, want) <= bound, "{}({x:e}): {got:e} instead of {want:e}", op.name());
        }
    }
    for op in [BinaryOp::Pow, BinaryOp::Atan2, BinaryOp::Rem] {
        for (x, y) in samples().zip(samples().skip(777)) {
            let (got, want) = (math::binary_double(op, x, y), math::binary_f64(op, x, y));
            assert!(ulps(got, want) <= 3.0, "{}({x:e}, {y:e}): {got:e} instead of {want:e}", op.name());
        }
    }
}
