//! The instructions of one value: from what is loaded, through views, to the node's own.

use kiln_device::{BinaryOp, CheckSite, CompareOp, DType, Instr, Reg, Scalar, Value};

use super::{Lowering, phases};
use crate::error::{Error, Result};
use crate::fuse::{Coordinate, Fence, Kind, Linear, Place, Spot, Var, is_view, through};
use crate::graph::{Node, NodeId};
use crate::op::Op;
use crate::shape::strides;

/// The two words of a random key.
const KEY_WORDS: [i64; 2] = [0, 1];

fn word(n: i64) -> Place {
    Place::at([Linear::constant(n)])
}

impl Lowering<'_, '_> {
    /// The register of a node's element at a place. Without recursion: what is asked of first stands on a stack.
    pub(super) fn value(&mut self, id: NodeId, place: &Place) -> Result<Reg> {
        let wanted = (id, place.resolved(&self.loops));
        let mut stack = vec![wanted.clone()];
        while let Some((id, place)) = stack.last().cloned() {
            if self.known.contains_key(&(id, place.clone())) {
                stack.pop();
                continue;
            }
            let needs = self.needs(id, &place)?;
            let missing = needs.into_iter().filter(|need| !self.known.contains_key(need)).rev();
            let before = stack.len();
            stack.extend(missing);
            if stack.len() > before {
                continue;
            }
            let reg = self.at(id, &place)?;
            self.known.insert((id, place), reg);
            stack.pop();
        }
        self.register(wanted.0, &wanted.1)
    }

    /// A register that is known.
    fn register(&self, id: NodeId, place: &Place) -> Result<Reg> {
        let known = self.known.get(&(id, place.resolved(&self.loops)));
        known.copied().ok_or_else(|| self.bug(id, "is asked for before it is there"))
    }

    /// The values that a node's element at a place is made of, in the order of use.
    fn needs(&mut self, id: NodeId, place: &Place) -> Result<Vec<(NodeId, Place)>> {
        if self.is_read(id) {
            return Ok(vec![]);
        }
        let node = self.node(id);
        let inputs = node.inputs.clone();
        let needs = match &node.op {
            op if is_view(op) => vec![self.through(id, place)?],
            Op::Reduce { .. } => vec![(inputs[0], self.reduced(id)?)],
            Op::Constant(_) | Op::Iota { .. } | Op::MatMul | Op::Conv { .. } => vec![],
            op => {
                let positions =
                    place.positions().ok_or_else(|| self.bug(id, "is computed behind padding"))?;
                match op {
                    Op::Gather => vec![(inputs[1], self.index_place(inputs[1], &positions))],
                    Op::Random => KEY_WORDS.map(|n| (inputs[0], word(n))).to_vec(),
                    _ => inputs.into_iter().map(|input| (input, Place::at(positions.clone()))).collect(),
                }
            }
        };
        Ok(needs.into_iter().map(|(id, place)| (id, place.resolved(&self.loops))).collect())
    }

    /// What a view asks of its input.
    fn through(&mut self, id: NodeId, place: &Place) -> Result<(NodeId, Place)> {
        let node = self.node(id).clone();
        let input = self.node(node.inputs[0]).clone();
        let asked = through(&node, &input, place, &mut self.loops, false)
            .ok_or_else(|| self.bug(id, "cannot be looked through"))?;
        Ok((node.inputs[0], asked))
    }

    /// Where a reduction of this group reads its input.
    fn reduced(&self, id: NodeId) -> Result<Place> {
        let group = &self.context.fused.groups[self.id];
        let asked = group.reduced.iter().find(|r| r.0 == id).map(|r| r.1.clone());
        asked.ok_or_else(|| self.bug(id, "is reduced in another kernel and is not stored"))
    }

    fn index_place(&self, indices: NodeId, positions: &[Linear]) -> Place {
        Place::at(positions[..self.node(indices).shape.len()].iter().cloned())
    }

    /// The register of a value whose [`Lowering::needs`] are known.
    fn at(&mut self, id: NodeId, place: &Place) -> Result<Reg> {
        if self.is_read(id) {
            let (buffer, map, fill) = self.address(id, place)?;
            return Ok(self.push(Instr::Load { buffer, map, fill }));
        }
        if is_view(&self.node(id).op) {
            let (input, asked) = self.through(id, place)?;
            return self.register(input, &asked);
        }
        self.computed(id, place)
    }

    fn computed(&mut self, id: NodeId, place: &Place) -> Result<Reg> {
        let node = self.node(id).clone();
        match &node.op {
            Op::Constant(value) => {
                let value = self.constant(*value);
                self.masked(value, place)
            }
            Op::Iota { axis } => {
                let Spot::At(coordinates) = &place.spot else {
                    return Err(self.bug(id, "is not at coordinates"));
                };
                let Coordinate { position, divisor } = coordinates[*axis].clone();
                let mut value = self.index(&position)?;
                if divisor != 1 {
                    let by = self.constant(Value::I32(divisor as i32));
                    value = self.push(Instr::Binary(BinaryOp::Div, value, by));
                }
                self.masked(value, place)
            }
            Op::Reduce { op, .. } => {
                let source = self.register(node.inputs[0], &self.reduced(id)?)?;
                let Some(inner) = self.loops.inner.first().copied() else { return Ok(source) };
                let source = self.per_element(source, inner)?;
                let folded = self.push(Instr::Reduce(*op, source));
                Ok(self.stored_as(node.dtype, folded))
            }
            Op::MatMul | Op::Conv { .. } => match self.context.fused.groups[self.id].kind {
                Kind::Contract(root) if root == id => {
                    let sum = self.push(Instr::Accumulator);
                    Ok(self.stored_as(node.dtype, sum))
                }
                _ => Err(self.bug(id, "is a product of another kernel and is not stored")),
            },
            _ => {
                let positions =
                    place.positions().ok_or_else(|| self.bug(id, "is computed behind padding"))?;
                self.elementwise(id, &node, &positions)
            }
        }
    }

    /// A value of the row as one of each inner element, so that it can be folded over them.
    fn per_element(&mut self, value: Reg, inner: Var) -> Result<Reg> {
        let rows = self.loops.rows.len();
        if phases::is_full(&self.instrs, rows)[value as usize] {
            return Ok(value);
        }
        let at = self.index(&Linear::var(inner))?;
        let always = self.push(Instr::Compare(CompareOp::Eq, at, at));
        Ok(self.push(Instr::Select(always, value, value)))
    }

    fn elementwise(&mut self, id: NodeId, node: &Node, positions: &[Linear]) -> Result<Reg> {
        let place = Place::at(positions.iter().cloned());
        let flat = |shape: &[usize]| {
            let sum = |sum: Linear, (p, s): (&Linear, usize)| sum.plus(p, s as i64);
            positions.iter().zip(strides(shape)).fold(Linear::default(), sum)
        };
        match &node.op {
            Op::Gather => return self.gather(node, positions),
            Op::Random => {
                let [first, second] = KEY_WORDS.map(|n| self.register(node.inputs[0], &word(n)));
                let key = [first?, second?];
                let number = self.index(&flat(&node.shape))?;
                let counter = self.push(Instr::Bitcast(Scalar::U32, number));
                return Ok(self.push(Instr::Random { key, counter }));
            }
            Op::CheckIndex { bound, wrap, op } => {
                let value = self.register(node.inputs[0], &place)?;
                let position = self.index(&flat(&node.shape))?;
                let check =
                    CheckSite { op: op.clone().into(), bound: *bound as u64, at: node.at.to_string() };
                let (ok, index) = match self.node(node.inputs[0]).dtype {
                    DType::I64 => self.wide_index_within(value, *bound, *wrap),
                    _ => self.index_within(value, *bound, *wrap),
                };
                let site = self.site(check);
                self.push(Instr::Check { ok, value, position, site });
                return Ok(index);
            }
            _ => {}
        }
        let inputs = node.inputs.iter().map(|n| self.register(*n, &place)).collect::<Result<Vec<Reg>>>()?;
        let reg = match &node.op {
            Op::Unary(op) => {
                let value = self.push(Instr::Unary(*op, inputs[0]));
                self.stored_as(node.dtype, value)
            }
            Op::Binary(op) => {
                let value = self.push(Instr::Binary(*op, inputs[0], inputs[1]));
                self.stored_as(node.dtype, value)
            }
            Op::Compare(op) => self.push(Instr::Compare(*op, inputs[0], inputs[1])),
            Op::Select => self.push(Instr::Select(inputs[0], inputs[1], inputs[2])),
            Op::Cast => self.cast(self.node(node.inputs[0]).dtype, node.dtype, inputs[0]),
            Op::Bitcast => self.push(Instr::Bitcast(node.dtype.scalar(), inputs[0])),
            Op::Barrier => inputs[0],
            _ => return Err(self.bug(id, "is not elementwise")),
        };
        Ok(reg)
    }

    /// What storing in a narrower type than the register's would give.
    fn stored_as(&mut self, dtype: DType, value: Reg) -> Reg {
        match dtype {
            DType::F16 | DType::BF16 => self.push(Instr::Round(dtype, value)),
            DType::U8 => {
                let mask = self.constant(Value::U32(255));
                self.push(Instr::Binary(BinaryOp::And, value, mask))
            }
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U32 | DType::Bool => value,
        }
    }

    /// Conversion by value; integers wrap into narrower integers, floats saturate.
    fn cast(&mut self, from: DType, to: DType, value: Reg) -> Reg {
        // Rounded once: halves do not come by way of `f32`.
        let direct = from.is_wide() && matches!(to, DType::F16 | DType::BF16);
        let (from, value) = match (direct, from) {
            (true, DType::I64) => (DType::F64, self.push(Instr::Cast(Scalar::F64, value))),
            _ => (from, value),
        };
        let value = if direct { self.push(Instr::Round(to, value)) } else { value };
        let converted = match (from.scalar(), to.scalar()) {
            (a, b) if a == b => value,
            (Scalar::I32, Scalar::U32) => self.push(Instr::Bitcast(Scalar::U32, value)),
            (Scalar::U32, Scalar::I32) => self.push(Instr::Bitcast(Scalar::I32, value)),
            (_, scalar) => self.push(Instr::Cast(scalar, value)),
        };
        if to == DType::U8 && from.is_float() {
            let largest = self.constant(Value::U32(255));
            return self.push(Instr::Binary(BinaryOp::Min, converted, largest));
        }
        if to == DType::Bool || direct { converted } else { self.stored_as(to, converted) }
    }

    /// Whether an `int32` index is within a bound, and the place it names or some other one.
    ///
    /// As unsigned numbers negative ones are larger than any bound; of `i` and `i + bound` the smaller is the place then.
    fn index_within(&mut self, value: Reg, bound: usize, wrap: bool) -> (Reg, Reg) {
        let extent = bound.min(i32::MAX as usize) as u32;
        let mut place = self.push(Instr::Bitcast(Scalar::U32, value));
        if wrap {
            let extent = self.constant(Value::U32(extent));
            let from_end = self.push(Instr::Binary(BinaryOp::Add, place, extent));
            place = self.push(Instr::Binary(BinaryOp::Min, place, from_end));
        }
        let last = self.constant(Value::U32(extent - 1));
        let nearest = self.push(Instr::Binary(BinaryOp::Min, place, last));
        let ok = self.push(Instr::Compare(CompareOp::Eq, nearest, place));
        (ok, self.push(Instr::Bitcast(Scalar::I32, nearest)))
    }

    /// [`Self::index_within`] of an `int64` index.
    fn wide_index_within(&mut self, value: Reg, bound: usize, wrap: bool) -> (Reg, Reg) {
        let extent = bound.min(i32::MAX as usize) as i64;
        let [zero, last] = [0, extent - 1].map(|n| self.constant(Value::I64(n)));
        let mut place = value;
        if wrap {
            let extent = self.constant(Value::I64(extent));
            let negative = self.push(Instr::Compare(CompareOp::Lt, value, zero));
            let from_end = self.push(Instr::Binary(BinaryOp::Add, value, extent));
            place = self.push(Instr::Select(negative, from_end, value));
        }
        let raised = self.push(Instr::Binary(BinaryOp::Max, place, zero));
        let nearest = self.push(Instr::Binary(BinaryOp::Min, raised, last));
        let ok = self.push(Instr::Compare(CompareOp::Eq, nearest, place));
        (ok, self.cast(DType::I64, DType::I32, nearest))
    }

    /// The number of a check site of the program.
    fn site(&mut self, check: CheckSite) -> u32 {
        let sites = &mut self.context.checks;
        let site = sites.iter().position(|s| *s == check).unwrap_or_else(|| {
            sites.push(check);
            sites.len() - 1
        });
        site as u32
    }

    fn gather(&mut self, node: &Node, positions: &[Linear]) -> Result<Reg> {
        let (source, indices) = (node.inputs[0], node.inputs[1]);
        let index_rank = self.node(indices).shape.len();
        let index = self.register(indices, &self.index_place(indices, positions))?;
        let shape = self.node(source).shape.clone();
        let (key, offset) = self.memory(source, true)?;
        let len = offset + shape.iter().product::<usize>();
        // Addresses are computed as `int32`.
        if i32::try_from(len).is_err() {
            let message = format!(
                "expected rows of fewer than 2³¹ elements, received {shape:?} from element {offset} of its memory; split \
                 the table"
            );
            return Err(Error::Operation { op: "take", message, at: node.at });
        }
        let mut rest = Linear::constant(offset as i64);
        for (position, stride) in positions[index_rank..].iter().zip(strides(&shape).into_iter().skip(1)) {
            rest = rest.plus(position, stride as i64);
        }
        let width = self.constant(Value::I32(shape[1..].iter().product::<usize>() as i32));
        let row = self.push(Instr::Binary(BinaryOp::Mul, index, width));
        let rest = self.index(&rest)?;
        let address = self.push(Instr::Binary(BinaryOp::Add, row, rest));
        let buffer = self.bind(key, node.dtype);
        Ok(self.push(Instr::LoadAt { buffer, index: address, len }))
    }

    /// The value inside the place's fences, its fill outside.
    fn masked(&mut self, value: Reg, place: &Place) -> Result<Reg> {
        let Some(fill) = place.fill.filter(|_| !place.fences.is_empty()) else { return Ok(value) };
        let mut inside: Option<Reg> = None;
        for Fence { position, divisor, extent } in &place.fences {
            let at = self.index(position)?;
            let zero = self.constant(Value::I32(0));
            let end = self.constant(Value::I32((*extent as i64 * divisor).min(i32::MAX as i64) as i32));
            let mut conditions = vec![
                self.push(Instr::Compare(CompareOp::Ge, at, zero)),
                self.push(Instr::Compare(CompareOp::Lt, at, end)),
            ];
            if *divisor != 1 {
                let by = self.constant(Value::I32(*divisor as i32));
                let rest = self.push(Instr::Binary(BinaryOp::Rem, at, by));
                conditions.push(self.push(Instr::Compare(CompareOp::Eq, rest, zero)));
            }
            for condition in conditions {
                inside = Some(match inside {
                    Some(all) => self.push(Instr::Binary(BinaryOp::And, all, condition)),
                    None => condition,
                });
            }
        }
        let fill = self.constant(fill);
        Ok(inside.map_or(value, |inside| self.push(Instr::Select(inside, value, fill))))
    }
}
