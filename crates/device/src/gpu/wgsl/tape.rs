//! One line (or a few) per instruction.

use super::printer::{Frame, Printer, wgsl_type};
use crate::dtype::{DType, Scalar};
use crate::kernel::{Instr, Map, Reg, Tape};
use crate::op::{BinaryOp, CompareOp, UnaryOp};

/// Where and under which condition instructions are printed.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    /// The loop variables.
    pub(crate) frame: &'a Frame,
    /// Register types of the tape.
    pub(crate) types: &'a [Scalar],
    /// Prefix of register names, so that several tapes can stand in one function.
    pub(crate) prefix: &'a str,
    /// The condition under which effects happen, if not always.
    pub(crate) effects: Option<&'a str>,
    /// The name of the contraction's result.
    pub(crate) accumulator: &'a str,
}

impl Place<'_> {
    pub(crate) fn register(&self, register: Reg) -> String {
        format!("{}{register}", self.prefix)
    }
}

impl Printer<'_> {
    /// Prints a whole tape.
    pub(crate) fn tape(&mut self, tape: &Tape, place: &Place) {
        for (at, instr) in tape.instrs.iter().enumerate() {
            self.instr(at as Reg, instr, place);
        }
    }

    /// Prints one instruction. `Reduce` belongs to the row printer.
    pub(crate) fn instr(&mut self, at: Reg, instr: &Instr, place: &Place) {
        let reg = |r: &Reg| place.register(*r);
        let scalar = |r: &Reg| place.types[*r as usize];
        let value = match instr {
            Instr::Load { buffer, map, fill } => {
                let (address, inside) = self.address(place.frame, map);
                let element = self.element(*buffer, &address);
                if let Some(inside) = inside {
                    let (name, fill) = (place.register(at), self.constant(*fill));
                    self.line(&format!("var {name} = {fill};"));
                    self.line(&format!("if ({inside}) {{ {name} = {element}; }}"));
                    return;
                }
                element
            }
            Instr::Store { buffer, map, value } => return self.store(*buffer, map, *value, place),
            Instr::Check { ok, value, position, site } => {
                return self.check([*ok, *value, *position], *site, place);
            }
            Instr::LoadAt { buffer, index, len } => {
                let last = self.size((*len).max(1) as i64 - 1);
                self.element(*buffer, &format!("clamp({}, 0i, {last})", reg(index)))
            }
            Instr::Const(value) => self.constant(*value),
            Instr::Index(affine) => self.affine(place.frame, affine),
            Instr::Unary(op, a) => unary(*op, &reg(a), scalar(a)),
            Instr::Binary(op, a, b) => binary(*op, &reg(a), &reg(b), scalar(a)),
            Instr::Compare(op, a, b) => compare(*op, &reg(a), &reg(b), scalar(a)),
            Instr::Select(c, a, b) => format!("select({}, {}, {})", reg(b), reg(a), reg(c)),
            Instr::Cast(to, a) => cast(*to, &reg(a), scalar(a)),
            Instr::Bitcast(to, a) => format!("bitcast<{}>({})", wgsl_type(*to), reg(a)),
            Instr::Round(to, a) => match to {
                DType::F16 => format!("kiln_round_f16({})", reg(a)),
                DType::BF16 => format!("kiln_round_bf16({})", reg(a)),
                _ => reg(a),
            },
            Instr::Random { key, counter } => {
                let [first, second] = [reg(&key[0]), reg(&key[1])];
                format!("kiln_threefry(vec2<u32>({first}, {second}), vec2<u32>({}, 0u)).x", reg(counter))
            }
            Instr::Accumulator => place.accumulator.to_owned(),
            Instr::Reduce(_, a) => reg(a),
        };
        self.line(&format!("let {} = {value};", place.register(at)));
    }

    fn store(&mut self, buffer: usize, map: &Map, value: Reg, place: &Place) {
        let (address, inside) = self.address(place.frame, map);
        let assignment = self.assignment(buffer, &address, &place.register(value));
        let conditions: Vec<&str> = inside.as_deref().into_iter().chain(place.effects).collect();
        if conditions.is_empty() {
            self.line(&assignment);
        } else {
            self.line(&format!("if ({}) {{ {assignment} }}", conditions.join(" && ")));
        }
    }

    fn check(&mut self, [ok, value, position]: [Reg; 3], site: u32, place: &Place) {
        let site = self.site(site);
        let also = place.effects.map(|e| format!(" && {e}")).unwrap_or_default();
        self.line(&format!(
            "if (!{}{also}) {{ kiln_report({site}, {}, {}); }}",
            place.register(ok),
            place.register(value),
            place.register(position)
        ));
    }
}

fn unary(op: UnaryOp, a: &str, scalar: Scalar) -> String {
    let float = scalar == Scalar::F32;
    match op {
        UnaryOp::Neg if scalar == Scalar::U32 => format!("0u - {a}"),
        UnaryOp::Neg => format!("-{a}"),
        UnaryOp::Abs if scalar == Scalar::U32 => a.to_owned(),
        UnaryOp::Abs => format!("abs({a})"),
        UnaryOp::Sign if float => format!("kiln_sign({a})"),
        UnaryOp::Sign if scalar == Scalar::U32 => format!("min({a}, 1u)"),
        UnaryOp::Sign => format!("sign({a})"),
        UnaryOp::Not if scalar == Scalar::Bool => format!("!{a}"),
        UnaryOp::Not => format!("~{a}"),
        UnaryOp::Floor => format!("floor({a})"),
        UnaryOp::Ceil => format!("ceil({a})"),
        UnaryOp::Round => format!("round({a})"),
        UnaryOp::Trunc => format!("trunc({a})"),
        UnaryOp::Exp
        | UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tanh
        | UnaryOp::Atan
        | UnaryOp::Erf
        | UnaryOp::Sigmoid
        | UnaryOp::IsNan => format!("kiln_{}({a})", op.name()),
    }
}

/// The expression of a binary operation on two names.
pub(crate) fn binary(op: BinaryOp, a: &str, b: &str, scalar: Scalar) -> String {
    let infix = |operator: &str| format!("{a} {operator} {b}");
    let call = |name: &str| format!("{name}({a}, {b})");
    let suffix = wgsl_type(scalar);
    match (op, scalar) {
        (BinaryOp::Add, _) => infix("+"),
        (BinaryOp::Sub, _) => infix("-"),
        (BinaryOp::Mul, _) => infix("*"),
        (BinaryOp::Div, Scalar::F32) => infix("/"),
        (BinaryOp::Div, _) => call(&format!("kiln_div_{suffix}")),
        (BinaryOp::Rem, Scalar::F32) => call("kiln_rem"),
        (BinaryOp::Pow, Scalar::F32) => call("kiln_pow"),
        (BinaryOp::Rem, _) => call(&format!("kiln_rem_{suffix}")),
        (BinaryOp::Pow, _) => call(&format!("kiln_pow_{suffix}")),
        (BinaryOp::Max, Scalar::Bool) | (BinaryOp::Or, _) => infix("|"),
        (BinaryOp::Min, Scalar::Bool) | (BinaryOp::And, _) => infix("&"),
        (BinaryOp::Max, Scalar::F32) => call("kiln_max"),
        (BinaryOp::Min, Scalar::F32) => call("kiln_min"),
        (BinaryOp::Max, _) => call("max"),
        (BinaryOp::Min, _) => call("min"),
        (BinaryOp::Atan2, _) => call("kiln_atan2"),
        (BinaryOp::Xor, Scalar::Bool) => infix("!="),
        (BinaryOp::Xor, _) => infix("^"),
        (BinaryOp::Shl, _) => format!("{a} << (u32({b}) & 31u)"),
        (BinaryOp::Shr, _) => format!("{a} >> (u32({b}) & 31u)"),
    }
}

fn compare(op: CompareOp, a: &str, b: &str, scalar: Scalar) -> String {
    let operator = match op {
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    };
    if (op, scalar) == (CompareOp::Ne, Scalar::F32) {
        // The operator of unordered values is false in some drivers.
        format!("!({a} == {b})")
    } else if scalar == Scalar::Bool {
        format!("u32({a}) {operator} u32({b})")
    } else {
        format!("{a} {operator} {b}")
    }
}

fn cast(to: Scalar, a: &str, from: Scalar) -> String {
    match (from, to) {
        (Scalar::F32, Scalar::I32) => format!("kiln_f32_to_i32({a})"),
        (Scalar::F32, Scalar::U32) => format!("kiln_f32_to_u32({a})"),
        (Scalar::F32, Scalar::Bool) => format!("(bitcast<u32>({a}) & 0x7fffffffu) != 0u"),
        (Scalar::I32, Scalar::Bool) => format!("{a} != 0i"),
        (Scalar::U32, Scalar::Bool) => format!("{a} != 0u"),
        (from, to) if from == to => a.to_owned(),
        (_, to) => format!("{}({a})", wgsl_type(to)),
    }
}
