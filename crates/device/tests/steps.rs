//! Branches, loops, calls of the host and rows changed in place, on every executor.

use kiln_device::*;

fn devices() -> Vec<Device> {
    let gpu = Device::open("gpu").or_else(|_| Device::open("software"));
    if let Err(error) = &gpu {
        assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none(), "KILN_REQUIRE_GPU is set: {error}");
    }
    std::iter::once(Device::cpu()).chain(gpu).collect()
}

fn kernel(list: &[(DType, Access)], body: Body) -> Kernel {
    let binding = |(dtype, access): &(DType, Access)| Binding { dtype: *dtype, access: *access };
    Kernel {
        name: "step".into(),
        rows: vec![],
        inner: vec![],
        buffers: list.iter().map(binding).collect(),
        body,
        once: Tape::default(),
    }
}

/// A kernel on scalars: `tape` over buffers.
fn scalar(instrs: Vec<Instr>, list: &[(DType, Access)]) -> Kernel {
    kernel(list, Body::Map(Tape { instrs }))
}

fn first() -> Map {
    Map { base: Affine { coefficients: vec![], offset: 0 }, guards: vec![] }
}

fn at(buffer: usize, dtype: DType) -> Instr {
    Instr::Load { buffer, map: first(), fill: Value::zero(dtype.scalar()) }
}

fn to(buffer: usize, value: Reg) -> Instr {
    Instr::Store { buffer, map: first(), value }
}

fn launch(kernel: Kernel, buffers: &[usize]) -> Step {
    Step::Launch(Box::new(Launch { kernel, buffers: buffers.to_vec() }))
}

fn external(device: &Device, forms: &[(DType, usize)]) -> Vec<BufferSpec> {
    let spec = |(n, (dtype, count)): (usize, &(DType, usize))| BufferSpec {
        role: Role::External(n),
        bytes: count * device.element_size(*dtype),
    };
    forms.iter().enumerate().map(spec).collect()
}

fn ints(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

fn read(device: &Device, buffer: &Buffer, count: usize) -> Vec<i32> {
    let bytes = device.download(buffer, DType::I32, 0, count).expect("download");
    bytes.chunks_exact(4).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// `counter += 1` and `goes_on = counter < 5`.
fn count() -> Kernel {
    let tape = vec![
        at(0, DType::I32),
        Instr::Const(Value::I32(1)),
        Instr::Binary(BinaryOp::Add, 0, 1),
        to(0, 2),
        Instr::Const(Value::I32(5)),
        Instr::Compare(CompareOp::Lt, 2, 4),
        to(1, 5),
    ];
    scalar(tape, &[(DType::I32, Access::ReadWrite), (DType::Bool, Access::Write)])
}

/// `sum += by`.
fn add(by: i32) -> Kernel {
    let tape =
        vec![at(0, DType::I32), Instr::Const(Value::I32(by)), Instr::Binary(BinaryOp::Add, 0, 1), to(0, 2)];
    scalar(tape, &[(DType::I32, Access::ReadWrite)])
}

#[test]
fn loops_branches_and_host_calls_nest() {
    for device in devices() {
        // Buffers: counter, flag, sum, and what the host makes of the sum.
        let forms = [(DType::I32, 1), (DType::Bool, 1), (DType::I32, 1), (DType::I32, 1)];
        let function = HostFunction::new("negate", "here", |x: &[Vec<u8>]| {
            let value = i32::from_ne_bytes([x[0][0], x[0][1], x[0][2], x[0][3]]);
            if value > 1000 { Err(format!("{value} is too large").into()) } else { Ok(vec![ints(&[-value])]) }
        });
        let binding = |buffer| HostBinding { buffer, first: 0, count: 1, dtype: DType::I32 };
        let host = HostStep { function, inputs: vec![binding(2)], outputs: vec![binding(3)] };
        let branch = Step::Branch {
            index: 0,
            arms: vec![vec![launch(add(1), &[2])], vec![launch(add(10), &[2])], vec![launch(add(100), &[2])]],
        };
        let twice = Step::Loop { most: 2, condition: None, body: vec![launch(add(1), &[2])] };
        let body = vec![branch, twice, launch(count(), &[0, 1])];
        let steps = vec![
            Step::Loop { most: 9, condition: Some(1), body },
            Step::Host(Box::new(host)),
            Step::Loop { most: 0, condition: None, body: vec![launch(add(7), &[3])] },
        ];
        let program = Program { buffers: external(&device, &forms), steps, checks: vec![] };
        assert_eq!(program.launches().len(), 6);
        let executable = device.compile(program).expect("compiles");
        assert_eq!(executable.sources().len(), 6);
        let run = |counter: i32, flag: bool, sum: i32| {
            let buffers = [
                device.buffer_from(DType::I32, &ints(&[counter])).expect("buffer"),
                device.buffer_from(DType::Bool, &[flag as u8]).expect("buffer"),
                device.buffer_from(DType::I32, &ints(&[sum])).expect("buffer"),
                device.buffer_from(DType::I32, &ints(&[0])).expect("buffer"),
            ];
            let times = executable.profile(&buffers).map(|times| times.len());
            (times, read(&device, &buffers[2], 1)[0], read(&device, &buffers[3], 1)[0])
        };
        // Counters −1, 0 | 1 | 2, 3, 4 choose the branches; two more are added in each of six turns.
        assert_eq!(run(-1, true, 0), (Ok(7), 2 + 10 + 300 + 12, -324), "{device}");
        assert_eq!(run(-1, false, 5), (Ok(7), 5, -5), "{device}");
        let failed = run(0, false, 2000).0.expect_err("fails").to_string();
        assert_eq!(failed, "[negate] 2000 is too large (at here)", "{device}");
        assert_eq!(run(4, true, 0), (Ok(7), 102, -102), "{device}");
    }
}

#[test]
fn rows_are_changed_in_place_in_the_order_of_updates() {
    for device in devices() {
        for op in [ScatterOp::Set, ScatterOp::Fold(ReduceOp::Sum)] {
            let (targets, width) = (7, 300);
            // Rows 2 and 5 several times, across chunks of 256; two indices outside.
            let mut indices: Vec<i32> = (0..600).map(|i| if i % 2 == 0 { 2 } else { 5 }).collect();
            (indices[0], indices[599]) = (-1, 7);
            let value = |i: usize| (i * 37 % 101) as i32;
            let table: Vec<i32> = (0..targets * width).map(value).collect();
            let updates: Vec<i32> = (0..indices.len() * width).map(|i| value(i + 5)).collect();
            let mut expected = table.clone();
            for (i, index) in indices.iter().enumerate().filter(|(_, n)| (0..targets as i32).contains(*n)) {
                for column in 0..width {
                    let to = &mut expected[*index as usize * width + column];
                    let term = updates[i * width + column];
                    *to = if op == ScatterOp::Set { term } else { *to + term };
                }
            }
            let list =
                [(DType::I32, Access::ReadWrite), (DType::I32, Access::Read), (DType::I32, Access::Read)];
            let body = Body::Scatter { op, targets, updates: indices.len(), width };
            let forms = [(DType::I32, table.len()), (DType::I32, indices.len()), (DType::I32, updates.len())];
            let steps = vec![launch(kernel(&list, body), &[0, 1, 2])];
            let program = Program { buffers: external(&device, &forms), steps, checks: vec![] };
            let buffer = |v: &[i32]| device.buffer_from(DType::I32, &ints(v)).expect("buffer");
            let buffers = [buffer(&table), buffer(&indices), buffer(&updates)];
            device.compile(program).and_then(|e| e.run(&buffers)).expect("runs");
            assert_eq!(read(&device, &buffers[0], table.len()), expected, "{device} {op:?}");
        }
    }
}
