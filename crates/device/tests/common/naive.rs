//! The kernel contract, executed naively: one point at a time, in the order of the text.

use super::api::*;

/// The contents of a kernel's buffers; floats are stored as their element type rounds them.
pub(crate) type Cells = Vec<Vec<Value>>;

/// A value as an element of this type would hold it.
pub(crate) fn stored(dtype: DType, value: Value) -> Value {
    match (dtype, value) {
        (DType::F16, Value::F32(v)) => Value::F32(half::f16::from_f32(v).to_f32()),
        (DType::F16, Value::F64(v)) => Value::F64(nearest_f16(v).to_f64()),
        (DType::BF16, Value::F64(v)) => Value::F64(nearest_bf16(v).to_f64()),
        (DType::BF16, Value::F32(v)) => Value::F32(half::bf16::from_f32(v).to_f32()),
        (DType::U8, Value::U32(v)) => Value::U32(v & 255),
        (_, value) => value,
    }
}

/// Every point of a loop, slowest axis first.
fn points(extents: &[usize]) -> Vec<Vec<i64>> {
    extents.iter().fold(vec![vec![]], |points, extent| {
        points.iter().flat_map(|p| (0..*extent as i64).map(|v| [p.as_slice(), &[v]].concat())).collect()
    })
}

struct Machine<'a> {
    kernel: &'a Kernel,
    cells: &'a mut Cells,
    registers: Vec<Value>,
    accumulator: Value,
}

/// Runs a kernel.
pub(crate) fn run(kernel: &Kernel, cells: &mut Cells) {
    let zero = vec![0; kernel.variables()];
    let mut machine = Machine { kernel, cells, registers: vec![], accumulator: Value::F32(0.0) };
    machine.tape(&kernel.once, &zero);
    match &kernel.body {
        Body::Map(tape) => points(&kernel.rows).iter().for_each(|p| machine.tape(tape, p)),
        Body::Row { tape, before, phases } => {
            points(&kernel.rows).iter().for_each(|p| machine.row(tape, before, phases, p));
        }
        Body::Contract { lhs, rhs, epilogue, .. } => {
            for point in points(&kernel.rows) {
                machine.accumulate([lhs, rhs], &point);
                let full = [point.as_slice(), &vec![0; kernel.inner.len()]].concat();
                machine.tape(epilogue, &full);
            }
        }
        body => array(body, kernel, machine.cells),
    }
}

impl Machine<'_> {
    fn tape(&mut self, tape: &Tape, point: &[i64]) {
        self.registers = vec![Value::Bool(false); tape.instrs.len()];
        for at in 0..tape.instrs.len() {
            self.registers[at] = self.instr(&tape.instrs[at], point);
        }
    }

    fn row(&mut self, tape: &Tape, before: &[Reg], phases: &[Phase], row: &[i64]) {
        let still = [row, &vec![0; self.kernel.inner.len()]].concat();
        self.registers = vec![Value::Bool(false); tape.instrs.len()];
        for r in before {
            self.registers[*r as usize] = self.instr(&tape.instrs[*r as usize], &still);
        }
        for phase in phases {
            let mut folded = vec![vec![]; tape.instrs.len()];
            for inner in points(&self.kernel.inner) {
                let point = [row, &inner].concat();
                for r in &phase.each {
                    self.registers[*r as usize] = self.instr(&tape.instrs[*r as usize], &point);
                    folded[*r as usize].push(self.registers[*r as usize]);
                }
            }
            for r in &phase.after {
                self.registers[*r as usize] = match &tape.instrs[*r as usize] {
                    Instr::Reduce(op, of) => {
                        let scalar = tape.types(self.kernel).unwrap()[*r as usize];
                        folded[*of as usize]
                            .iter()
                            .fold(op.identity(scalar), |a, b| binary(op.combine(), a, *b))
                    }
                    instr => self.instr(instr, &still),
                };
            }
        }
    }

    fn accumulate(&mut self, operands: [&Operand; 2], row: &[i64]) {
        let mut exact = 0.0;
        let mut wrapping = 0i64;
        for inner in points(&self.kernel.inner) {
            let point = [row, &inner].concat();
            let [a, b] = operands.map(|o| {
                let zero = Value::zero(self.kernel.buffers[o.buffer].dtype.scalar());
                o.map.at(&point).map_or(zero, |at| self.cells[o.buffer][at as usize])
            });
            match (a, b) {
                (Value::I32(a), Value::I32(b)) => wrapping += i64::from(a.wrapping_mul(b)),
                (Value::I64(a), Value::I64(b)) => wrapping = wrapping.wrapping_add(a.wrapping_mul(b)),
                (a, b) => exact += a.as_f64() * b.as_f64(),
            }
        }
        self.accumulator = match self.kernel.buffers[operands[0].buffer].dtype.scalar() {
            Scalar::I32 => Value::I32(wrapping as i32),
            Scalar::I64 => Value::I64(wrapping),
            Scalar::F64 => Value::F64(exact),
            _ => Value::F32(exact as f32),
        };
    }

    fn instr(&mut self, instr: &Instr, point: &[i64]) -> Value {
        let reg = |r: &Reg| self.registers[*r as usize];
        match instr {
            Instr::Const(value) => *value,
            Instr::Index(affine) => Value::I32(affine.at(point) as i32),
            Instr::Load { buffer, map, fill } => {
                map.at(point).map_or(*fill, |at| self.cells[*buffer][at as usize])
            }
            Instr::LoadAt { buffer, index, len } => {
                let at = (reg(index).as_f64() as i64).clamp(0, *len as i64 - 1);
                self.cells[*buffer][at as usize]
            }
            Instr::Store { buffer, map, value } => {
                if let Some(at) = map.at(point) {
                    let dtype = self.kernel.buffers[*buffer].dtype;
                    self.cells[*buffer][at as usize] = stored(dtype, reg(value));
                }
                Value::Bool(false)
            }
            Instr::Unary(op, a) => unary(*op, reg(a)),
            Instr::Binary(op, a, b) => binary(*op, reg(a), reg(b)),
            Instr::Compare(op, a, b) => compare(*op, reg(a), reg(b)),
            Instr::Select(c, a, b) => {
                if reg(c) == Value::Bool(true) {
                    reg(a)
                } else {
                    reg(b)
                }
            }
            Instr::Cast(to, a) => cast(*to, reg(a)),
            Instr::Bitcast(to, a) => match to {
                Scalar::F32 => Value::F32(f32::from_bits(reg(a).word())),
                Scalar::F64 => Value::F64(f64::from_bits(reg(a).bits())),
                Scalar::I32 => Value::I32(reg(a).word() as i32),
                Scalar::I64 => Value::I64(reg(a).bits() as i64),
                _ => Value::U32(reg(a).word()),
            },
            Instr::Round(to, a) => stored(*to, reg(a)),
            Instr::Random { key, counter } => {
                let [a, b, c] = [&key[0], &key[1], counter].map(|r| reg(r).word());
                Value::U32(threefry([a, b], [c, 0]))
            }
            Instr::Accumulator => self.accumulator,
            Instr::Reduce(..) | Instr::Check { .. } => Value::Bool(false),
        }
    }
}

fn threefry(key: [u32; 2], counter: [u32; 2]) -> u32 {
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd1_1bda];
    let rotations = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..5 {
        for rotation in rotations[round % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(rotation) ^ x[0];
        }
        x[0] = x[0].wrapping_add(keys[(round + 1) % 3]);
        x[1] = x[1].wrapping_add(keys[(round + 2) % 3]).wrapping_add(round as u32 + 1);
    }
    x[0]
}

fn erf(x: f64) -> f64 {
    let series = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    };
    if x.abs() > 6.0 { x.signum() } else { series(x) }
}

fn unary(op: UnaryOp, a: Value) -> Value {
    let float = |v: f64| if let Value::F64(_) = a { Value::F64(v) } else { Value::F32(v as f32) };
    let x = a.as_f64();
    match (op, a) {
        (UnaryOp::Neg, Value::I64(v)) => Value::I64(v.wrapping_neg()),
        (UnaryOp::Abs, Value::I64(v)) => Value::I64(v.wrapping_abs()),
        (UnaryOp::Sign, Value::I64(v)) => Value::I64(v.signum()),
        (UnaryOp::Not, Value::I64(v)) => Value::I64(!v),
        (UnaryOp::Neg, Value::I32(v)) => Value::I32(v.wrapping_neg()),
        (UnaryOp::Neg, Value::U32(v)) => Value::U32(v.wrapping_neg()),
        (UnaryOp::Neg, _) => float(-x),
        (UnaryOp::Abs, Value::I32(v)) => Value::I32(v.wrapping_abs()),
        (UnaryOp::Abs, Value::U32(v)) => Value::U32(v),
        (UnaryOp::Abs, _) => float(x.abs()),
        (UnaryOp::Sign, Value::I32(v)) => Value::I32(v.signum()),
        (UnaryOp::Sign, Value::U32(v)) => Value::U32(v.min(1)),
        (UnaryOp::Sign, _) => float(if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        (UnaryOp::Not, Value::I32(v)) => Value::I32(!v),
        (UnaryOp::Not, Value::U32(v)) => Value::U32(!v),
        (UnaryOp::Not, v) => Value::Bool(v.bits() == 0),
        (UnaryOp::IsNan, _) => Value::Bool(x.is_nan()),
        (UnaryOp::Exp, _) => float(x.exp()),
        (UnaryOp::Expm1, _) => float(x.exp_m1()),
        (UnaryOp::Log, _) => float(x.ln()),
        (UnaryOp::Log1p, _) => float(x.ln_1p()),
        (UnaryOp::Sqrt, _) => float(x.sqrt()),
        (UnaryOp::Rsqrt, _) => float(1.0 / x.sqrt()),
        // Range reduction is exact enough up to 1e4 only.
        (UnaryOp::Sin | UnaryOp::Cos, Value::F32(_)) if x.is_finite() && x.abs() > 1e4 => {
            Value::F32(f32::MAX)
        }
        (UnaryOp::Sin, _) => float(x.sin()),
        (UnaryOp::Cos, _) => float(x.cos()),
        (UnaryOp::Tanh, _) => float(x.tanh()),
        (UnaryOp::Atan, _) => float(x.atan()),
        (UnaryOp::Erf, _) => float(if x.is_nan() { x } else { erf(x) }),
        (UnaryOp::Sigmoid, _) => float(1.0 / (1.0 + (-x).exp())),
        (UnaryOp::Floor, _) => float(x.floor()),
        (UnaryOp::Ceil, _) => float(x.ceil()),
        (UnaryOp::Round, _) => float(x.round_ties_even()),
        (UnaryOp::Trunc, _) => float(x.trunc()),
    }
}

fn binary(op: BinaryOp, a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => Value::F32(binary_f32(op, a, b)),
        (Value::F64(a), Value::F64(b)) => Value::F64(binary_f64(op, a, b)),
        (Value::I64(a), Value::I64(b)) => Value::I64(binary_i64(op, a, b)),
        (Value::I32(a), Value::I32(b)) => Value::I32(binary_i32(op, a, b)),
        (Value::U32(a), Value::U32(b)) => Value::U32(binary_u32(op, a, b)),
        (a, b) => {
            let (a, b) = (a == Value::Bool(true), b == Value::Bool(true));
            Value::Bool(match op {
                BinaryOp::Max | BinaryOp::Or => a | b,
                BinaryOp::Min | BinaryOp::And => a & b,
                _ => a ^ b,
            })
        }
    }
}

fn binary_f32(op: BinaryOp, a: f32, b: f32) -> f32 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        BinaryOp::Pow => f64::from(a).powf(f64::from(b)) as f32,
        BinaryOp::Max if a.is_nan() || b.is_nan() => f32::NAN,
        BinaryOp::Min if a.is_nan() || b.is_nan() => f32::NAN,
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => f64::from(a).atan2(f64::from(b)) as f32,
        _ => unreachable!("not on floats"),
    }
}

fn binary_f64(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Max | BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => unreachable!("not on floats"),
    }
}

/// In 128 bits, where nothing overflows; the low 64 are kept.
fn binary_i64(op: BinaryOp, a: i64, b: i64) -> i64 {
    let (x, y) = (i128::from(a), i128::from(b));
    (match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
        BinaryOp::Div => x.div_euclid(y) - i128::from(b < 0 && x.rem_euclid(y) != 0),
        BinaryOp::Rem => {
            let r = x % y;
            if r != 0 && (r < 0) != (b < 0) { r + y } else { r }
        }
        BinaryOp::Pow if b >= 0 => (0..b.min(1000)).fold(1, |power: i64, _| power.wrapping_mul(a)).into(),
        BinaryOp::Pow => match (a, b % 2) {
            (1, _) => 1,
            (-1, 0) => 1,
            (-1, _) => -1,
            _ => 0,
        },
        BinaryOp::Max => x.max(y),
        BinaryOp::Min => x.min(y),
        BinaryOp::And => x & y,
        BinaryOp::Or => x | y,
        BinaryOp::Xor => x ^ y,
        BinaryOp::Shl => a.wrapping_shl(b as u32).into(),
        BinaryOp::Shr => a.wrapping_shr(b as u32).into(),
        BinaryOp::Atan2 => unreachable!("not on integers"),
    }) as i64
}

fn binary_i32(op: BinaryOp, a: i32, b: i32) -> i32 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
        BinaryOp::Div => {
            (i64::from(a).div_euclid(i64::from(b))
                - i64::from(b < 0 && i64::from(a).rem_euclid(i64::from(b)) != 0)) as i32
        }
        BinaryOp::Rem => {
            let r = i64::from(a) % i64::from(b);
            (if r != 0 && (r < 0) != (b < 0) { r + i64::from(b) } else { r }) as i32
        }
        BinaryOp::Pow if b >= 0 => a.wrapping_pow(b as u32),
        BinaryOp::Pow => match (a, b % 2) {
            (1, _) => 1,
            (-1, 0) => 1,
            (-1, _) => -1,
            _ => 0,
        },
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a.wrapping_shl(b as u32),
        BinaryOp::Shr => a.wrapping_shr(b as u32),
        BinaryOp::Atan2 => unreachable!("not on integers"),
    }
}

fn binary_u32(op: BinaryOp, a: u32, b: u32) -> u32 {
    match op {
        BinaryOp::Div => a.checked_div(b).unwrap_or(0),
        BinaryOp::Rem => a.checked_rem(b).unwrap_or(0),
        BinaryOp::Pow => a.wrapping_pow(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Shr => a.wrapping_shr(b),
        op => binary_i32(op, a as i32, b as i32) as u32,
    }
}

fn compare(op: CompareOp, a: Value, b: Value) -> Value {
    if let (Value::I64(a), Value::I64(b)) = (a, b) {
        return Value::Bool(holds(op, a, b));
    }
    Value::Bool(holds(op, a.as_f64(), b.as_f64()))
}

fn holds<T: PartialOrd>(op: CompareOp, a: T, b: T) -> bool {
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
    }
}

fn cast(to: Scalar, a: Value) -> Value {
    match (to, a) {
        (Scalar::F32, Value::I64(v)) => Value::F32(v as f32),
        (Scalar::F32, v) => Value::F32(v.as_f64() as f32),
        (Scalar::F64, v) => Value::F64(v.as_f64()),
        (Scalar::I64, Value::F32(_) | Value::F64(_)) => Value::I64(a.as_f64() as i64),
        (Scalar::I64, Value::I32(v)) => Value::I64(v.into()),
        (Scalar::I64, v) => Value::I64(v.bits() as i64),
        (Scalar::I32, Value::F64(v)) => Value::I32(v as i32),
        (Scalar::U32, Value::F64(v)) => Value::U32(v as u32),
        (Scalar::Bool, v) => Value::Bool(v.as_f64() != 0.0),
        (Scalar::I32, Value::F32(v)) => Value::I32(v as i32),
        (Scalar::U32, Value::F32(v)) => Value::U32(v as u32),
        (Scalar::I32, v) => Value::I32(v.word() as i32),
        (Scalar::U32, v) => Value::U32(v.word()),
    }
}

fn array(body: &Body, kernel: &Kernel, cells: &mut Cells) {
    match body {
        Body::Scatter { op, targets, updates, width } => {
            // In place the operand is the result.
            let place = if kernel.buffers.len() == 3 { 0 } else { 3 };
            let dtype = kernel.buffers[place].dtype;
            let mut out = cells[0][..targets * width].to_vec();
            for i in 0..*updates {
                let index = cells[1][i].word() as i32;
                if index < 0 || index as usize >= *targets {
                    continue;
                }
                for column in 0..*width {
                    let (term, at) = (cells[2][i * width + column], index as usize * width + column);
                    out[at] = match op {
                        ScatterOp::Set => term,
                        ScatterOp::Fold(op) => binary(op.combine(), out[at], term),
                    };
                }
            }
            cells[place] = out.into_iter().map(|v| stored(dtype, v)).collect();
        }
        Body::Sort { lines, length, descending } => {
            for line in 0..*lines {
                let keys = cells[0][line * length..][..*length].to_vec();
                let mut places: Vec<usize> = (0..*length).collect();
                places.sort_by(|a, b| {
                    if let (Value::I64(a), Value::I64(b)) = (keys[*a], keys[*b]) {
                        return if *descending { b.cmp(&a) } else { a.cmp(&b) };
                    }
                    let (a, b) = (keys[*a].as_f64(), keys[*b].as_f64());
                    let order = if *descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
                    order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
                });
                for (i, place) in places.into_iter().enumerate() {
                    cells[1][line * length + i] = keys[place];
                    cells[2][line * length + i] = Value::I32(place as i32);
                }
            }
        }
        Body::Scan { op, outer, length, inner, reverse } => {
            for line in 0..outer * inner {
                let start = line / inner * length * inner + line % inner;
                let mut value = op.identity(kernel.buffers[0].dtype.scalar());
                for step in 0..*length {
                    let position = if *reverse { length - 1 - step } else { step };
                    let at = start + position * inner;
                    value = binary(op.combine(), value, cells[0][at]);
                    cells[1][at] = value;
                }
            }
        }
        _ => unreachable!("not an array body"),
    }
}
