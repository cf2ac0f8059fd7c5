//! The contract between graph and device: what a kernel is, apart from who executes it.
//!
//! A kernel loops over `rows` (and, where it reduces, over `inner` for every row) and runs a straight-line tape of
//! [`Instr`]uctions: no branches, no loops, no calls. Instruction `i` defines register `i`; operands precede uses.
//! Every number of size (extents, strides, offsets) and every constant is concrete here; the WGSL printer moves them
//! to parameters, so that kernels that differ in sizes alone share one shader.
//!
//! ```text
//! Map       for p in rows:                 tape
//! Row       for p in rows:                 before; for each phase { for r in inner: each; } after
//! Contract  for p in rows: acc = Σ_inner lhs · rhs; epilogue(acc)
//! Scatter, Sort, Scan                      whole-array operations on dense row-major buffers
//! ```

use crate::dtype::{DType, Scalar, Value};
use crate::error::{Error, Result};
use crate::op::{BinaryOp, CompareOp, ReduceOp, UnaryOp};

/// The register that instruction number `Reg` defines.
pub type Reg = u32;

/// An affine function of the loop variables: rows first, then inner ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Affine {
    /// One factor per loop variable.
    pub coefficients: Vec<i64>,
    /// The constant term.
    pub offset: i64,
}

/// A guarded coordinate: `position / divisor` must be whole and in `0..extent`; it adds `stride` times itself to an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The coordinate before division.
    pub position: Affine,
    /// 1, or the step of a transposed window: positions that it does not divide are outside.
    pub divisor: i64,
    /// Number of valid coordinates.
    pub extent: i64,
    /// Elements between two coordinates in the buffer; 0 for a guard that only masks.
    pub stride: i64,
}

/// Where in a buffer a point of the loops reads or writes, in elements.
///
/// The address is `base + Σ stride·(position/divisor)` over the guards. A load outside any guard yields its `fill`;
/// a store outside is skipped. Inside all guards an address is always within the buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Map {
    /// The unguarded part of the address.
    pub base: Affine,
    /// Coordinates with a range.
    pub guards: Vec<Guard>,
}

/// One instruction. `Load` … `Check` may stand wherever their operands are known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Instr {
    /// A constant.
    Const(Value),
    /// The value of an affine function of the loop variables, as `i32`.
    Index(Affine),
    /// `buffers[buffer][map]`, or `fill` outside the map's guards.
    Load {
        /// Index into [`Kernel::buffers`].
        buffer: usize,
        /// The address.
        map: Map,
        /// The value outside, of the buffer's register type.
        fill: Value,
    },
    /// `buffers[buffer][index]` at a computed `i32` element index, clamped to the buffer's `len` elements.
    LoadAt {
        /// Index into [`Kernel::buffers`].
        buffer: usize,
        /// The register of the index.
        index: Reg,
        /// Elements of the buffer.
        len: usize,
    },
    /// Writes a register; defines no value (its register may not be used).
    Store {
        /// Index into [`Kernel::buffers`].
        buffer: usize,
        /// The address.
        map: Map,
        /// What to write, of the buffer's register type.
        value: Reg,
    },
    /// An operation on one register.
    Unary(UnaryOp, Reg),
    /// An operation on two registers of one type.
    Binary(BinaryOp, Reg, Reg),
    /// A comparison.
    Compare(CompareOp, Reg, Reg),
    /// The second register where the first (`bool`) is true, else the third.
    Select(Reg, Reg, Reg),
    /// Conversion by value: float to integer truncates and saturates (NaN gives 0), anything to `bool` is `≠ 0`.
    Cast(Scalar, Reg),
    /// The same bits as another type of as many (`F32`, `I32`, `U32`; `F64`, `I64`).
    Bitcast(Scalar, Reg),
    /// Rounds a float to the nearest value of a narrower stored float type, staying of its type.
    Round(DType, Reg),
    /// 32 random bits: the first word of threefry2x32-20 with this key (two `u32`) and counter (`u32`, 0).
    Random {
        /// The two key words.
        key: [Reg; 2],
        /// The counter.
        counter: Reg,
    },
    /// Folds a register over the inner loop of the phase it stands after (Row only): a value of the row.
    Reduce(ReduceOp, Reg),
    /// The contraction's result at this point (epilogue of Contract only), of the operands' register type.
    Accumulator,
    /// Reports to check site `site` where `ok` (`bool`) is false, with `value` (`i32` or `i64`) and `position` (`i32`);
    /// defines no value.
    Check {
        /// False where something is wrong.
        ok: Reg,
        /// The offending value.
        value: Reg,
        /// Where it stands.
        position: Reg,
        /// Index into [`crate::Program::checks`].
        site: u32,
    },
}

/// A straight-line sequence of instructions.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tape {
    /// Instruction `i` defines register `i`.
    pub instrs: Vec<Instr>,
}

/// One pass over the inner loop of a Row kernel.
///
/// A full value (one per inner element) needed in several phases is listed in the `each` of every such phase: it is
/// computed again, unless the executor kept it. Row values live until the row ends.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Phase {
    /// Instructions executed per inner element, ascending.
    pub each: Vec<Reg>,
    /// Instructions executed once after the loop, ascending; `Reduce`s fold registers of this phase's `each`.
    pub after: Vec<Reg>,
}

/// One matrix of a contraction.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// Index into [`Kernel::buffers`].
    pub buffer: usize,
    /// Its address over rows and inner; outside its guards the element is 0.
    pub map: Map,
}

/// How a scatter treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ScatterOp {
    /// Replaces; the last update of an index wins.
    Set,
    /// Folds, in the order of the updates.
    Fold(ReduceOp),
}

/// What a kernel does at its loops.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The tape, at every point of `rows`; `inner` is empty.
    Map(Tape),
    /// Phases over `inner` for every point of `rows`.
    Row {
        /// All instructions; which are executed when is said by the lists.
        tape: Tape,
        /// Row values computed before the first phase, ascending.
        before: Vec<Reg>,
        /// The passes.
        phases: Vec<Phase>,
    },
    /// A tiled sum of products. `rows` are `batch` axes, then `m` axes that the right operand does not use, then
    /// the rest (`n`), that the left one does not use. Sums in the operands' register type; integers wrap.
    Contract {
        /// Number of leading row axes that both operands use.
        batch: usize,
        /// Number of row axes after them that belong to the left operand.
        m: usize,
        /// The left operand.
        lhs: Operand,
        /// The right operand.
        rhs: Operand,
        /// What happens to each result; it holds the stores.
        epilogue: Tape,
    },
    /// `out[v, :] = operand[v, :]`, folded with `updates[i, :]` for every `i` with `indices[i] == v`, in order of `i`.
    /// Buffers: operand, indices (`i32`), updates, out. An index outside `0..targets` is skipped.
    /// In place there are three buffers, the operand read and written: only rows that are updated are touched.
    Scatter {
        /// How updates fold.
        op: ScatterOp,
        /// Number of rows of operand and out.
        targets: usize,
        /// Number of indices.
        updates: usize,
        /// Elements of a row.
        width: usize,
    },
    /// Sorts every line of `length` consecutive elements, stably. Buffers: keys, sorted keys out, `i32` positions out.
    /// NaN sorts last in both directions.
    Sort {
        /// Number of lines.
        lines: usize,
        /// Elements of a line.
        length: usize,
        /// Largest first.
        descending: bool,
    },
    /// Running fold along the middle axis of `[outer, length, inner]`. Buffers: input, output.
    Scan {
        /// What is folded.
        op: ReduceOp,
        /// Product of the axes before.
        outer: usize,
        /// Elements of the axis.
        length: usize,
        /// Product of the axes after.
        inner: usize,
        /// From the end backwards.
        reverse: bool,
    },
}

/// What a kernel does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only loads.
    Read,
    /// Only stores.
    Write,
    /// Loads and stores, each element at the same point of the loops.
    ReadWrite,
}

/// A buffer as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The stored element type.
    pub dtype: DType,
    /// How it is used. Two bindings of one launch never name the same buffer unless both only read.
    pub access: Access,
}

/// A kernel: loops, buffers and a body. See the module's text.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// What it computes, for people.
    pub name: String,
    /// Extents of the row axes, slowest first. May be empty (one point), and may hold zeros (nothing to do).
    pub rows: Vec<usize>,
    /// Extents of the inner axes.
    pub inner: Vec<usize>,
    /// The buffers, in binding order.
    pub buffers: Vec<Binding>,
    /// What happens at the loops.
    pub body: Body,
    /// Executed once, at no loop position (all loop variables 0), by one thread, before or after or beside the body: it
    /// shares no written buffer with it. Scalars of state ride along here.
    pub once: Tape,
}

impl Affine {
    /// A constant.
    pub fn constant(variables: usize, offset: i64) -> Affine {
        Affine { coefficients: vec![0; variables], offset }
    }

    /// The value at a point.
    pub fn at(&self, point: &[i64]) -> i64 {
        self.coefficients.iter().zip(point).map(|(c, v)| c * v).sum::<i64>() + self.offset
    }
}

impl Map {
    /// The address at a point, or `None` outside.
    pub fn at(&self, point: &[i64]) -> Option<i64> {
        let mut address = self.base.at(point);
        for guard in &self.guards {
            let position = guard.position.at(point);
            if position % guard.divisor != 0 {
                return None;
            }
            let coordinate = position / guard.divisor;
            if !(0..guard.extent).contains(&coordinate) {
                return None;
            }
            address += coordinate * guard.stride;
        }
        Some(address)
    }
}

impl Instr {
    /// The registers it reads.
    pub fn operands(&self) -> Vec<Reg> {
        match self {
            Instr::Const(_) | Instr::Index(_) | Instr::Load { .. } | Instr::Accumulator => vec![],
            Instr::LoadAt { index, .. } => vec![*index],
            Instr::Store { value, .. } => vec![*value],
            Instr::Unary(_, a)
            | Instr::Cast(_, a)
            | Instr::Bitcast(_, a)
            | Instr::Round(_, a)
            | Instr::Reduce(_, a) => vec![*a],
            Instr::Binary(_, a, b) | Instr::Compare(_, a, b) => vec![*a, *b],
            Instr::Select(a, b, c) => vec![*a, *b, *c],
            Instr::Random { key, counter } => vec![key[0], key[1], *counter],
            Instr::Check { ok, value, position, .. } => vec![*ok, *value, *position],
        }
    }

    /// True for `Store` and `Check`, which define no value.
    pub fn is_effect(&self) -> bool {
        matches!(self, Instr::Store { .. } | Instr::Check { .. })
    }
}

fn broken(kernel: &Kernel, what: String) -> Error {
    Error::Kernel(format!("{}: {what}", kernel.name))
}

impl Tape {
    /// The register types, or what is wrong. Effects have type `Bool` by convention.
    pub fn types(&self, kernel: &Kernel) -> Result<Vec<Scalar>> {
        let mut types: Vec<Scalar> = Vec::with_capacity(self.instrs.len());
        for (at, instr) in self.instrs.iter().enumerate() {
            let bad = |what: &str| broken(kernel, format!("instruction {at} {instr:?}: {what}"));
            for operand in instr.operands() {
                if operand as usize >= at {
                    return Err(bad("operand is not defined yet"));
                }
                if self.instrs[operand as usize].is_effect() {
                    return Err(bad("operand defines no value"));
                }
            }
            let of = |r: &Reg| types[*r as usize];
            let binding = |b: usize| {
                kernel
                    .buffers
                    .get(b)
                    .copied()
                    .ok_or_else(|| bad("no such buffer"))
                    .map(|b| (b.dtype.scalar(), b.access))
            };
            let scalar = match instr {
                Instr::Const(v) => v.scalar(),
                Instr::Index(_) => Scalar::I32,
                Instr::Load { buffer, fill, .. } => {
                    let (scalar, access) = binding(*buffer)?;
                    if fill.scalar() != scalar || access == Access::Write {
                        return Err(bad("fill or access do not match the buffer"));
                    }
                    scalar
                }
                Instr::LoadAt { buffer, index, .. } => {
                    if of(index) != Scalar::I32 {
                        return Err(bad("index must be i32"));
                    }
                    binding(*buffer)?.0
                }
                Instr::Store { buffer, value, .. } => {
                    let (scalar, access) = binding(*buffer)?;
                    if of(value) != scalar || access == Access::Read {
                        return Err(bad("value or access do not match the buffer"));
                    }
                    Scalar::Bool
                }
                Instr::Unary(op, a) => op.result(of(a)).ok_or_else(|| bad("operand type"))?,
                Instr::Binary(op, a, b) => {
                    if of(a) != of(b) || !op.accepts(of(a)) {
                        return Err(bad("operand types"));
                    }
                    of(a)
                }
                Instr::Compare(_, a, b) => {
                    if of(a) != of(b) {
                        return Err(bad("operand types"));
                    }
                    Scalar::Bool
                }
                Instr::Select(c, a, b) => {
                    if of(c) != Scalar::Bool || of(a) != of(b) {
                        return Err(bad("operand types"));
                    }
                    of(a)
                }
                Instr::Cast(to, _) => *to,
                Instr::Bitcast(to, a) => {
                    if of(a) == Scalar::Bool || *to == Scalar::Bool || of(a).is_wide() != to.is_wide() {
                        return Err(bad("types of another number of bits"));
                    }
                    *to
                }
                Instr::Round(to, a) => {
                    if !of(a).is_float() || !to.is_float() {
                        return Err(bad("rounds floats only"));
                    }
                    of(a)
                }
                Instr::Random { key, counter } => {
                    if [key[0], key[1], *counter].iter().any(|r| of(r) != Scalar::U32) {
                        return Err(bad("key and counter must be u32"));
                    }
                    Scalar::U32
                }
                Instr::Reduce(_, a) => of(a),
                Instr::Accumulator => match &kernel.body {
                    Body::Contract { lhs, .. } => binding(lhs.buffer)?.0,
                    _ => return Err(bad("no contraction here")),
                },
                Instr::Check { ok, value, position, .. } => {
                    let whole = matches!(of(value), Scalar::I32 | Scalar::I64);
                    if of(ok) != Scalar::Bool || !whole || of(position) != Scalar::I32 {
                        return Err(bad("operand types"));
                    }
                    Scalar::Bool
                }
            };
            types.push(scalar);
        }
        Ok(types)
    }

    fn check_maps(&self, kernel: &Kernel, variables: usize) -> Result<()> {
        for (at, instr) in self.instrs.iter().enumerate() {
            let ok = match instr {
                Instr::Index(affine) => affine.coefficients.len() == variables,
                Instr::Load { map, .. } | Instr::Store { map, .. } => map.fits(variables),
                _ => true,
            };
            if !ok {
                return Err(broken(
                    kernel,
                    format!("instruction {at}: map does not have {variables} variables"),
                ));
            }
        }
        Ok(())
    }
}

impl Map {
    fn fits(&self, variables: usize) -> bool {
        self.base.coefficients.len() == variables
            && self.guards.iter().all(|g| g.position.coefficients.len() == variables && g.divisor >= 1)
    }
}

impl Kernel {
    /// Most reductions of one phase: each takes registers of every thread, and levels of partial results.
    pub const MOST_REDUCTIONS: usize = 32;

    /// The types of its buffers, and those in which its registers could be stored.
    pub(crate) fn types(&self) -> Result<Vec<DType>> {
        let mut scalars = self.once.types(self)?;
        match &self.body {
            Body::Map(tape) | Body::Row { tape, .. } | Body::Contract { epilogue: tape, .. } => {
                scalars.extend(tape.types(self)?);
            }
            Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {}
        }
        let stored = scalars.into_iter().map(Scalar::dtype);
        Ok(self.buffers.iter().map(|b| b.dtype).chain(stored).collect())
    }

    /// Number of loop variables: rows, then inner.
    pub fn variables(&self) -> usize {
        self.rows.len() + self.inner.len()
    }

    /// Checks the whole contract; executors may rely on it. Called before a program is prepared.
    pub fn verify(&self) -> Result<()> {
        let variables = self.variables();
        self.once.types(self)?;
        self.once.check_maps(self, variables)?;
        if self.once.instrs.iter().any(|i| matches!(i, Instr::Reduce(..) | Instr::Accumulator)) {
            return Err(broken(self, "reduction or accumulator in the once tape".into()));
        }
        match &self.body {
            Body::Map(tape) => {
                tape.types(self)?;
                tape.check_maps(self, variables)?;
                if !self.inner.is_empty() || tape.instrs.iter().any(|i| matches!(i, Instr::Reduce(..))) {
                    return Err(broken(self, "a Map kernel has no inner loop".into()));
                }
            }
            Body::Row { tape, before, phases } => {
                tape.types(self)?;
                tape.check_maps(self, variables)?;
                self.verify_phases(tape, before, phases)?;
            }
            Body::Contract { batch, m, lhs, rhs, epilogue } => {
                epilogue.types(self)?;
                epilogue.check_maps(self, variables)?;
                if batch + m > self.rows.len() || !lhs.map.fits(variables) || !rhs.map.fits(variables) {
                    return Err(broken(self, "contraction axes or operand maps".into()));
                }
                let scalar = |operand: &Operand| self.buffers.get(operand.buffer).map(|b| b.dtype.scalar());
                match (scalar(lhs), scalar(rhs)) {
                    (Some(a), Some(b)) if a == b && a != Scalar::Bool => {}
                    types => return Err(broken(self, format!("operands of types {types:?}"))),
                }
                let (first_n, rows) = (batch + m, self.rows.len());
                let uses = |map: &Map, from: usize, to: usize| {
                    let used = |a: &Affine| a.coefficients[from..to].iter().any(|c| *c != 0);
                    used(&map.base) || map.guards.iter().any(|g| used(&g.position))
                };
                if uses(&lhs.map, first_n, rows) || uses(&rhs.map, *batch, first_n) {
                    return Err(broken(self, "an operand uses the other's row axes".into()));
                }
            }
            Body::Scatter { .. } if self.buffers.len() >= 3 => {}
            Body::Sort { .. } if self.buffers.len() >= 3 => {}
            Body::Scan { .. } if self.buffers.len() >= 2 => {}
            Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {
                return Err(broken(self, "too few buffers".into()));
            }
        }
        Ok(())
    }

    fn verify_phases(&self, tape: &Tape, before: &[Reg], phases: &[Phase]) -> Result<()> {
        let mut row = vec![false; tape.instrs.len()];
        let get =
            |r: Reg| tape.instrs.get(r as usize).ok_or_else(|| broken(self, format!("no instruction {r}")));
        for &r in before {
            if get(r)?.operands().iter().any(|o| !row[*o as usize]) || matches!(get(r)?, Instr::Reduce(..)) {
                return Err(broken(self, format!("row value {r} is not ready before the first phase")));
            }
            row[r as usize] = true;
        }
        for phase in phases {
            let mut full = vec![false; tape.instrs.len()];
            for &r in &phase.each {
                let known = |o: &Reg| full[*o as usize] || row[*o as usize];
                if matches!(get(r)?, Instr::Reduce(..)) || !get(r)?.operands().iter().all(known) {
                    return Err(broken(self, format!("full value {r} is not ready in its phase")));
                }
                full[r as usize] = true;
            }
            for &r in &phase.after {
                let ready = match get(r)? {
                    Instr::Reduce(_, source) => full[*source as usize] || row[*source as usize],
                    other => other.operands().iter().all(|o| row[*o as usize]),
                };
                if !ready {
                    return Err(broken(self, format!("row value {r} is not ready after its phase")));
                }
                row[r as usize] = true;
            }
            let folds = |r: &&Reg| matches!(tape.instrs[**r as usize], Instr::Reduce(..));
            if phase.after.iter().filter(folds).count() > Kernel::MOST_REDUCTIONS {
                return Err(broken(self, "too many reductions in one phase".into()));
            }
        }
        Ok(())
    }
}
