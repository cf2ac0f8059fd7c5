//! Which instruction of a row kernel runs when.

use kiln_device::{Affine, Body, Instr, Map, Phase, Reg, Tape};

/// Orders the instructions of a row kernel into passes over its inner loop. Reductions of one pass are those that
/// need nothing of each other.
pub(super) fn row(instrs: Vec<Instr>, rows: usize) -> Body {
    let count = instrs.len();
    let full = is_full(&instrs, rows);
    // The pass in which a full value can first be computed, or after which a row value is known (0: before all).
    let mut ready = vec![0usize; count];
    for (at, instr) in instrs.iter().enumerate() {
        let operands = instr.operands();
        let latest = operands.iter().map(|o| ready[*o as usize]).max().unwrap_or(0);
        if matches!(instr, Instr::Reduce(..)) {
            ready[at] = latest + 1;
            continue;
        }
        ready[at] = latest;
    }
    let reductions =
        (0..count).filter(|i| matches!(instrs[*i], Instr::Reduce(..))).map(|i| ready[i]).max().unwrap_or(0);
    let stored =
        (0..count).filter(|i| full[*i] && instrs[*i].is_effect()).map(|i| ready[i] + 1).max().unwrap_or(0);
    let phases = (0..reductions.max(stored)).map(|pass| phase(pass, &instrs, &full, &ready)).collect();
    let is_before = |i: &usize| !full[*i] && ready[*i] == 0 && !matches!(instrs[*i], Instr::Reduce(..));
    let before = (0..count).filter(is_before).map(|i| i as Reg).collect();
    Body::Row { tape: Tape { instrs }, before, phases }
}

/// Which values differ between the elements of a row.
pub(super) fn is_full(instrs: &[Instr], rows: usize) -> Vec<bool> {
    let mut full: Vec<bool> = Vec::with_capacity(instrs.len());
    for instr in instrs {
        let folded = matches!(instr, Instr::Reduce(..));
        full.push(!folded && (uses_inner(instr, rows) || instr.operands().iter().any(|o| full[*o as usize])));
    }
    full
}

fn phase(pass: usize, instrs: &[Instr], full: &[bool], ready: &[usize]) -> Phase {
    let mut wanted = vec![false; instrs.len()];
    let mut after = vec![];
    for (i, instr) in instrs.iter().enumerate() {
        match instr {
            Instr::Reduce(_, source) if ready[i] == pass + 1 => {
                after.push(i as Reg);
                wanted[*source as usize] |= full[*source as usize];
            }
            _ if full[i] && instr.is_effect() && ready[i] == pass => wanted[i] = true,
            _ if !full[i] && ready[i] == pass + 1 => after.push(i as Reg),
            _ => {}
        }
    }
    for i in (0..instrs.len()).rev().filter(|i| full[*i]) {
        if wanted[i] {
            for operand in instrs[i].operands() {
                wanted[operand as usize] |= full[operand as usize];
            }
        }
    }
    let each = (0..instrs.len()).filter(|i| wanted[*i] && full[*i]).map(|i| i as Reg).collect();
    Phase { each, after }
}

fn uses_inner(instr: &Instr, rows: usize) -> bool {
    let affine = |a: &Affine| a.coefficients[rows..].iter().any(|c| *c != 0);
    let map = |m: &Map| affine(&m.base) || m.guards.iter().any(|g| affine(&g.position));
    match instr {
        Instr::Index(a) => affine(a),
        Instr::Load { map: m, .. } | Instr::Store { map: m, .. } => map(m),
        _ => false,
    }
}
