//! Contractions: workgroup tiles of both operands, register tiles of results, the epilogue per element.
//!
//! Operand elements are loaded through their maps, so that the same text serves matrix products of any layout and
//! convolutions. The parts of addresses that do not depend on the inner loop are computed before it.

use super::printer::{Frame, Printer, Variable, wgsl_type};
use super::tape::Place;
use super::{Shape, loop_count};
use crate::dtype::{Scalar, Value};
use crate::error::Result;
use crate::kernel::{Body, Instr, Kernel, Map, Operand, Phase, Reg, Tape};
use crate::op::{BinaryOp, ReduceOp};

/// Sizes of a workgroup's tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Rows and columns of results.
    pub(crate) side: usize,
    /// Rows and columns of results that a thread keeps: 4 or 8.
    pub(crate) each: usize,
}

/// Inner elements of a tile.
const DEPTH: usize = 16;

const SMALL: Tile = Tile { side: 32, each: 4 };
pub(crate) const MIDDLE: Tile = Tile { side: 64, each: 4 };
pub(crate) const LARGE: Tile = Tile { side: 128, each: 8 };

/// The sizes of a contraction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

impl Sizes {
    pub(super) fn of(kernel: &Kernel, batch: usize, m: usize) -> Result<Sizes> {
        loop_count(&kernel.rows)?;
        Ok(Sizes {
            batch: loop_count(&kernel.rows[..batch])?,
            m: loop_count(&kernel.rows[batch..batch + m])?,
            n: loop_count(&kernel.rows[batch + m..])?,
            k: loop_count(&kernel.inner)?,
        })
    }

    fn tiles(&self, tile: Tile) -> usize {
        self.batch * self.m.div_ceil(tile.side) * self.n.div_ceil(tile.side)
    }

    /// Workgroups of the smallest tile.
    pub(super) fn tiles_small(&self) -> usize {
        self.tiles(SMALL).max(1)
    }

    /// The largest tile of which there are enough to fill a processor, and that is not mostly empty.
    fn tile(&self) -> Tile {
        let fits =
            |tile: Tile, enough: usize| self.m.min(self.n) > tile.side / 2 && self.tiles(tile) >= enough;
        if fits(LARGE, 128) {
            LARGE
        } else if fits(MIDDLE, 64) {
            MIDDLE
        } else {
            SMALL
        }
    }
}

/// Products with a vector, and small results of long sums, are better off with many threads a result: as Row kernels.
/// Any other kernel comes back as it is.
pub(crate) fn lower(kernel: &Kernel) -> Result<Kernel> {
    let Body::Contract { batch, m, lhs, rhs, epilogue } = &kernel.body else {
        return Ok(kernel.clone());
    };
    let sizes = Sizes::of(kernel, *batch, *m)?;
    let vector = sizes.m == 1 || sizes.n == 1;
    let long = sizes.k >= 2048 && sizes.tiles(SMALL) < 16;
    if !vector && !long {
        return Ok(kernel.clone());
    }
    let scalar = |operand: &Operand| kernel.buffers[operand.buffer].dtype.scalar();
    let load = |operand: &Operand| Instr::Load {
        buffer: operand.buffer,
        map: operand.map.clone(),
        fill: Value::zero(scalar(operand)),
    };
    let product = vec![load(lhs), load(rhs), Instr::Binary(BinaryOp::Mul, 0, 1)];
    let mut result = kernel.clone();
    result.body = reduced(product, epilogue, scalar(lhs));
    Ok(result)
}

/// A Row body that sums the last of `each` over the inner loop, with the epilogue of a contraction after it.
pub(super) fn reduced(each: Vec<Instr>, epilogue: &Tape, scalar: Scalar) -> Body {
    let sum = each.len() as Reg;
    let mut instrs = each;
    instrs.push(Instr::Reduce(ReduceOp::Sum, sum - 1));
    for instr in &epilogue.instrs {
        instrs.push(match shifted(instr, sum + 1) {
            Instr::Accumulator => Instr::Bitcast(scalar, sum),
            other => other,
        });
    }
    Body::Row {
        before: vec![],
        phases: vec![Phase { each: (0..sum).collect(), after: (sum..instrs.len() as Reg).collect() }],
        tape: Tape { instrs },
    }
}

/// The instruction with every operand `shift` later.
fn shifted(instr: &Instr, shift: Reg) -> Instr {
    let mut result = instr.clone();
    match &mut result {
        Instr::Const(_) | Instr::Index(_) | Instr::Load { .. } | Instr::Accumulator => {}
        Instr::LoadAt { index, .. } => *index += shift,
        Instr::Store { value, .. } => *value += shift,
        Instr::Unary(_, a)
        | Instr::Cast(_, a)
        | Instr::Bitcast(_, a)
        | Instr::Round(_, a)
        | Instr::Reduce(_, a) => *a += shift,
        Instr::Binary(_, a, b) | Instr::Compare(_, a, b) => [a, b].into_iter().for_each(|r| *r += shift),
        Instr::Select(a, b, c) => [a, b, c].into_iter().for_each(|r| *r += shift),
        Instr::Random { key, counter } => {
            key.iter_mut().for_each(|r| *r += shift);
            *counter += shift;
        }
        Instr::Check { ok, value, position, .. } => {
            [ok, value, position].into_iter().for_each(|r| *r += shift)
        }
    }
    result
}

/// One operand as the text sees it.
struct Side<'a> {
    name: &'static str,
    operand: &'a Operand,
    /// The kernel axes that are this operand's own, and their product.
    axes: std::ops::Range<usize>,
    count: usize,
    /// The first own index of the workgroup's tile.
    first: &'static str,
    /// True where neighbouring threads load along the inner loop.
    along_inner: bool,
}

/// What the parts of a printed contraction have in common.
struct Plan {
    tile: Tile,
    sizes: Sizes,
    scalar: Scalar,
    batch: usize,
    frame: Frame,
}

impl Plan {
    fn threads(&self) -> usize {
        (self.tile.side / self.tile.each).pow(2)
    }

    fn vector(&self) -> String {
        format!("vec4<{}>", wgsl_type(self.scalar))
    }

    /// Length of one row of a staged tile in vectors; one more where threads write across rows.
    fn pitch(&self, side: &Side) -> usize {
        self.tile.side / 4 + usize::from(side.along_inner)
    }

    fn halves(&self) -> usize {
        self.tile.each / 4
    }
}

impl Printer<'_> {
    /// Prints a Contract kernel.
    pub(crate) fn contract(
        &mut self,
        batch: usize,
        m: usize,
        [lhs, rhs]: [&Operand; 2],
        epilogue: &Tape,
    ) -> Result<Shape> {
        let kernel = self.kernel;
        let sizes = Sizes::of(kernel, batch, m)?;
        let scalar = kernel.buffers[lhs.buffer].dtype.scalar();
        let tile = sizes.tile();
        self.tile_position(sizes, tile)?;
        let mut frame = self.split("batch", "z", &kernel.rows[..batch]);
        frame.resize(kernel.variables(), None);
        let plan = Plan { tile, sizes, scalar, batch, frame };
        let rows = kernel.rows.len();
        let lhs = side("lhs", lhs, batch..batch + m, sizes.m, "m_first", kernel);
        let rhs = side("rhs", rhs, batch + m..rows, sizes.n, "n_first", kernel);
        self.products(&plan, &lhs, &rhs);
        self.epilogue(&plan, batch + m, epilogue)?;
        Ok(Shape { groups: sizes.tiles(tile), threads: plan.threads() })
    }

    fn tile_position(&mut self, sizes: Sizes, tile: Tile) -> Result<()> {
        let across = sizes.n.div_ceil(tile.side);
        self.line("let tile = group.y * groups.x + group.x;");
        self.once("tile == 0u && local == 0u")?;
        let tiles = self.count(sizes.tiles(tile));
        self.line(&format!("if (tile >= {tiles}) {{ return; }}"));
        let per_batch = self.count(across * sizes.m.div_ceil(tile.side));
        let across = self.count(across);
        self.line(&format!("let batch = tile / {per_batch};"));
        self.line(&format!("let in_batch = tile - batch * {per_batch};"));
        self.line(&format!("let m_first = (in_batch / {across}) * {}u;", tile.side));
        self.line(&format!("let n_first = (in_batch % {across}) * {}u;", tile.side));
        let threads_across = tile.side / tile.each;
        self.line(&format!("let across = local % {threads_across}u;"));
        self.line(&format!("let down = local / {threads_across}u;"));
        Ok(())
    }

    fn products(&mut self, plan: &Plan, lhs: &Side, rhs: &Side) {
        let vector = plan.vector();
        for side in [lhs, rhs] {
            let length = DEPTH * plan.pitch(side);
            self.global(&format!("var<workgroup> {}_tile: array<{vector}, {length}>;", side.name));
        }
        for i in 0..plan.tile.each {
            for j in 0..plan.halves() {
                self.line(&format!("var c{i}_{j} = {vector}();"));
            }
        }
        let frames = [self.own_indices(plan, lhs), self.own_indices(plan, rhs)];
        let inner = self.count(plan.sizes.k);
        self.open(&format!("for (var k_first = 0u; k_first < {inner}; k_first += {DEPTH}u) {{"));
        for (side, frames) in [lhs, rhs].into_iter().zip(&frames) {
            self.stage(plan, side, frames);
        }
        self.line("workgroupBarrier();");
        // Small tiles are for small work, for which a short text that compiles fast is worth more than a fast loop.
        let unrolled = if plan.tile == SMALL { 2 } else { DEPTH };
        self.open(&format!("for (var depth = 0u; depth < {DEPTH}u; depth += {unrolled}u) {{"));
        for k in 0..unrolled {
            self.step(plan, lhs, rhs, k);
        }
        self.close("}");
        self.line("workgroupBarrier();");
        self.close("}");
    }

    /// Per vector that a thread stages: its place in the tile, and the frames of its four elements.
    fn own_indices(&mut self, plan: &Plan, side: &Side) -> Vec<Frame> {
        let quads = plan.tile.side / 4;
        let (name, threads) = (side.name, plan.threads());
        let mut frames = vec![];
        for t in 0..quads * DEPTH / threads {
            let id = format!("(local + {}u)", t * threads);
            let (quad, depth) = if side.along_inner {
                (format!("{id} / {DEPTH}u"), format!("{id} % {DEPTH}u"))
            } else {
                (format!("{id} % {quads}u"), format!("{id} / {quads}u"))
            };
            self.line(&format!("let {name}{t}_quad = {quad};"));
            self.line(&format!("let {name}{t}_depth = {depth};"));
            for j in 0..4 {
                let index = format!("{name}{t}_{j}");
                self.line(&format!("let {index} = {} + {name}{t}_quad * 4u + {j}u;", side.first));
                let extents = &self.kernel.rows[side.axes.clone()];
                let own = self.split(&index, &format!("{index}_"), extents);
                let mut frame = plan.frame.clone();
                frame.splice(side.axes.clone(), own);
                frames.push(frame);
            }
        }
        frames
    }

    /// Loads one tile of an operand into workgroup memory.
    fn stage(&mut self, plan: &Plan, side: &Side, frames: &[Frame]) {
        let kernel = self.kernel;
        let (name, pitch) = (side.name, plan.pitch(side));
        // Only the largest products have a text without bounds: elsewhere it would be another shader for some sizes.
        let large = plan.tile == LARGE;
        let whole = large && side.count.is_multiple_of(plan.tile.side);
        let whole_inner = large && plan.sizes.k.is_multiple_of(DEPTH);
        let rows = kernel.rows.len();
        for (t, quad) in frames.chunks(4).enumerate() {
            let k = format!("{name}{t}_k");
            self.line(&format!("let {k} = k_first + {name}{t}_depth;"));
            let inner: Vec<Option<Variable>> = self.split(&k, &format!("{k}_"), &kernel.inner);
            let mut limits = vec![];
            if !whole_inner {
                let limit = self.count(plan.sizes.k);
                limits.push(format!("{k} < {limit}"));
            }
            let mut elements = vec![];
            for (j, frame) in quad.iter().enumerate() {
                let mut frame = frame.clone();
                frame.splice(rows.., inner.clone());
                let mut limits = limits.clone();
                if !whole {
                    let limit = self.count(side.count);
                    limits.push(format!("{name}{t}_{j} < {limit}"));
                }
                elements.push(self.operand_element(side.operand, &frame, limits, plan.scalar));
            }
            self.line(&format!(
                "{name}_tile[{name}{t}_depth * {pitch}u + {name}{t}_quad] = {}({});",
                plan.vector(),
                elements.join(", ")
            ));
        }
    }

    fn operand_element(
        &mut self,
        operand: &Operand,
        frame: &Frame,
        mut limits: Vec<String>,
        scalar: Scalar,
    ) -> String {
        let (address, inside) = self.address(frame, &operand.map);
        limits.extend(inside);
        if limits.is_empty() {
            return self.element(operand.buffer, &address);
        }
        let ok = self.fresh("ok");
        self.line(&format!("let {ok} = {};", limits.join(" && ")));
        let element = self.element(operand.buffer, &format!("select(0i, {address}, {ok})"));
        let zero = self.constant(Value::zero(scalar));
        format!("select({zero}, {element}, {ok})")
    }

    /// The products of one inner element of the tiles.
    fn step(&mut self, plan: &Plan, lhs: &Side, rhs: &Side, k: usize) {
        let spread = plan.tile.side / plan.tile.each;
        self.open("{");
        for h in 0..plan.halves() {
            let at = |side: &Side| {
                let pitch = plan.pitch(side);
                format!("depth * {pitch}u + {}u", k * pitch + h * spread)
            };
            self.line(&format!("let x{h} = lhs_tile[{} + down];", at(lhs)));
            self.line(&format!("let y{h} = rhs_tile[{} + across];", at(rhs)));
        }
        let vector = plan.vector();
        for i in 0..plan.tile.each {
            for j in 0..plan.halves() {
                let x = format!("{vector}(x{}[{}])", i / 4, i % 4);
                self.line(&match plan.scalar {
                    Scalar::F32 => format!("c{i}_{j} = fma({x}, y{j}, c{i}_{j});"),
                    _ => format!("c{i}_{j} += {x} * y{j};"),
                });
            }
        }
        self.close("}");
    }

    /// Loops over the thread's results; the text of the epilogue stands once.
    fn epilogue(&mut self, plan: &Plan, first_n: usize, tape: &Tape) -> Result<()> {
        let kernel = self.kernel;
        let (rows, halves) = (kernel.rows.len(), plan.halves());
        let spread = plan.tile.side / halves;
        let (m_count, n_count) = (self.count(plan.sizes.m), self.count(plan.sizes.n));
        let vectors = plan.tile.each * halves;
        self.open(&format!("for (var e = 0u; e < {vectors}u; e += 1u) {{"));
        self.line(&format!("let row = e / {halves}u;"));
        self.line(&format!("let m = m_first + (row / 4u) * {spread}u + down * 4u + row % 4u;"));
        self.line(&format!("if (m >= {m_count}) {{ continue; }}"));
        let own = self.split("m", "v", &kernel.rows[plan.batch..first_n]);
        let mut frame = plan.frame.clone();
        frame.splice(plan.batch..first_n, own);
        self.line(&format!("var results = {}();", plan.vector()));
        self.line("switch e {");
        for e in 0..vectors {
            let case = if e + 1 == vectors { "default" } else { "case" };
            let label = if e + 1 == vectors { String::new() } else { format!(" {e}u") };
            self.line(&format!("    {case}{label}: {{ results = c{}_{}; }}", e / halves, e % halves));
        }
        self.line("}");
        self.open("for (var j = 0u; j < 4u; j += 1u) {");
        self.line(&format!("let n = n_first + (e % {halves}u) * {spread}u + across * 4u + j;"));
        self.line(&format!("if (n >= {n_count}) {{ continue; }}"));
        let own = self.split("n", "w", &kernel.rows[first_n..rows]);
        frame.splice(first_n..rows, own);
        self.line("let result = results[j];");
        let types = tape.types(kernel)?;
        let place = Place { frame: &frame, types: &types, prefix: "r", effects: None, accumulator: "result" };
        self.tape(tape, &place);
        self.close("}");
        self.close("}");
        Ok(())
    }
}

fn side<'a>(
    name: &'static str,
    operand: &'a Operand,
    axes: std::ops::Range<usize>,
    count: usize,
    first: &'static str,
    kernel: &Kernel,
) -> Side<'a> {
    let unit = |axes: &std::ops::Range<usize>| !axes.is_empty() && unit_stride(&operand.map, axes.end - 1);
    let inner = kernel.rows.len()..kernel.variables();
    Side { name, operand, along_inner: unit(&inner) || !unit(&axes), axes, count, first }
}

/// True where an address moves by one element with the given variable.
pub(crate) fn unit_stride(map: &Map, variable: usize) -> bool {
    let guarded = map.guards.iter();
    let step: i64 = guarded.map(|g| g.position.coefficients[variable] * g.stride).sum();
    map.base.coefficients[variable] + step == 1
}
