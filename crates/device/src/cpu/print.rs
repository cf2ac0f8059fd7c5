//! Kernels as text, for people.

use std::fmt::Write;

use crate::kernel::{Affine, Body, Instr, Kernel, Map, Tape};

fn affine(a: &Affine) -> String {
    let mut terms: Vec<String> = a
        .coefficients
        .iter()
        .enumerate()
        .filter(|(_, c)| **c != 0)
        .map(|(v, c)| if *c == 1 { format!("i{v}") } else { format!("{c}·i{v}") })
        .collect();
    if a.offset != 0 || terms.is_empty() {
        terms.push(a.offset.to_string());
    }
    terms.join(" + ")
}

fn address(map: &Map) -> String {
    let mut text = affine(&map.base);
    for guard in &map.guards {
        let position = affine(&guard.position);
        let _ = write!(text, " + {}·(({position}) / {} in 0..{})", guard.stride, guard.divisor, guard.extent);
    }
    text
}

fn instruction(instr: &Instr) -> String {
    match instr {
        Instr::Const(value) => format!("{value}"),
        Instr::Index(a) => affine(a),
        Instr::Load { buffer, map, fill } => format!("b{buffer}[{}] else {fill}", address(map)),
        Instr::LoadAt { buffer, index, len } => format!("b{buffer}[clamp(r{index}, 0, {len})]"),
        Instr::Store { buffer, map, value } => format!("b{buffer}[{}] := r{value}", address(map)),
        Instr::Unary(op, a) => format!("{} r{a}", op.name()),
        Instr::Binary(op, a, b) => format!("{} r{a} r{b}", op.name()),
        Instr::Compare(op, a, b) => format!("{} r{a} r{b}", op.name()),
        Instr::Select(c, a, b) => format!("select r{c} r{a} r{b}"),
        Instr::Cast(to, a) => format!("cast r{a} to {to:?}"),
        Instr::Bitcast(to, a) => format!("bitcast r{a} to {to:?}"),
        Instr::Round(to, a) => format!("round r{a} to {to}"),
        Instr::Random { key, counter } => format!("random r{} r{} r{counter}", key[0], key[1]),
        Instr::Reduce(op, a) => format!("reduce {} r{a}", op.name()),
        Instr::Accumulator => "accumulator".into(),
        Instr::Check { ok, value, position, site } => {
            format!("check r{ok}, value r{value} at r{position}, site {site}")
        }
    }
}

fn tape(text: &mut String, tape: &Tape) {
    for (number, instr) in tape.instrs.iter().enumerate() {
        let _ = writeln!(text, "  r{number} = {}", instruction(instr));
    }
}

/// The kernel's loops, buffers and instructions, a line each.
pub(crate) fn kernel(kernel: &Kernel) -> String {
    let mut text = format!("{}: rows {:?} inner {:?}\n", kernel.name, kernel.rows, kernel.inner);
    for (number, buffer) in kernel.buffers.iter().enumerate() {
        let _ = writeln!(text, "  b{number}: {} {:?}", buffer.dtype, buffer.access);
    }
    match &kernel.body {
        Body::Map(body) => {
            text.push_str("map\n");
            tape(&mut text, body);
        }
        Body::Row { tape: body, before, phases } => {
            let _ = writeln!(text, "row, before {before:?}");
            for phase in phases {
                let _ = writeln!(text, "  phase each {:?} after {:?}", phase.each, phase.after);
            }
            tape(&mut text, body);
        }
        Body::Contract { batch, m, lhs, rhs, epilogue } => {
            let _ = writeln!(text, "contract, {batch} batch axes, {m} m axes");
            let _ = writeln!(text, "  lhs b{}[{}]", lhs.buffer, address(&lhs.map));
            let _ = writeln!(text, "  rhs b{}[{}]", rhs.buffer, address(&rhs.map));
            tape(&mut text, epilogue);
        }
        other => {
            let _ = writeln!(text, "{other:?}");
        }
    }
    if !kernel.once.instrs.is_empty() {
        text.push_str("once\n");
        tape(&mut text, &kernel.once);
    }
    text
}
