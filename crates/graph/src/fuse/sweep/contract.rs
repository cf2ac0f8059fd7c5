//! Products of matrices and convolutions: their loops, and where they read their operands.

use super::{Need, Request, Sweep, flat};
use crate::fuse::linear::{Linear, Var};
use crate::fuse::view::{Coordinate, Fence, Place, Spot};
use crate::fuse::{GroupId, Kind};
use crate::graph::NodeId;
use crate::op::{ConvGeometry, ConvKind, Op};

/// The coordinates of a contraction's result, by the operand they belong to.
struct Roles {
    batch: Vec<Linear>,
    m: Vec<Linear>,
    n: Vec<Linear>,
}

impl Sweep {
    /// Makes the contraction the root of a Map group that takes its result elementwise.
    pub(super) fn join_contraction(
        &mut self,
        id: NodeId,
        group: GroupId,
        positions: Vec<Linear>,
    ) -> Result<(), String> {
        match self.groups[group].kind {
            Kind::Map => {}
            Kind::Contract(_) => return Err("the kernel has a product of its own already".into()),
            Kind::Row => return Err("a tile of a product does not span a row".into()),
            Kind::Whole(_) => return Err("whole-array operations take no others along".into()),
        }
        let node = self.node(id);
        if matches!(&node.op, Op::Conv { geometry, .. } if geometry.groups > 1) {
            return Err("a grouped convolution has loops of its own".into());
        }
        let (whole, count) = (flat(&positions, &node.shape), node.len());
        let loops = &self.groups[group].loops;
        if loops.used(&positions).len() != loops.rows.len()
            || !loops.enumerates(&loops.resolve(&whole), count)
        {
            return Err("the kernel does not take every element of the product once".into());
        }
        let roles = self.roles(id, &positions);
        let rows = self.order_rows(group, &roles).ok_or("an axis mixes rows and columns of the product")?;
        let operands = self.operands(id, group, &positions, None);
        self.contract(id, group, positions, rows, operands);
        Ok(())
    }

    /// Loops of a contraction that stands alone.
    pub(super) fn own_contraction(&mut self, id: NodeId, group: GroupId) {
        let node = self.node(id).clone();
        let groups = match &node.op {
            Op::Conv { geometry, .. } => geometry.groups,
            _ => 1,
        };
        if groups == 1 {
            let positions = self.fresh_rows(group, id);
            let roles = self.roles(id, &positions);
            // Fresh variables never mix: one per axis.
            let rows = self.order_rows(group, &roles).unwrap_or_default();
            let operands = self.operands(id, group, &positions, None);
            self.contract(id, group, positions, rows, operands);
            return;
        }
        // The channel axis of the result is (group, channel of the group).
        let channel_axis = node.shape.len() - 1;
        let of_group = node.shape[channel_axis] / groups;
        let loops = self.loops(group);
        let batch = loops.row(groups);
        let mut positions: Vec<Linear> = node.shape[..channel_axis].iter().map(|e| loops.row(*e)).collect();
        let channel = loops.row(of_group);
        let m: usize = positions.iter().map(|p| p.terms.len()).sum();
        positions.push(batch.times(of_group as i64).plus(&channel, 1));
        let operands = self.operands(id, group, &positions, Some((batch.clone(), channel)));
        let rows = self.groups[group].loops.rows.clone();
        self.contract(id, group, positions, (rows, batch.terms.len(), m), operands);
    }

    fn contract(
        &mut self,
        id: NodeId,
        group: GroupId,
        positions: Vec<Linear>,
        (rows, batch, m): (Vec<Var>, usize, usize),
        operands: [Place; 2],
    ) {
        let inputs = self.node(id).inputs.clone();
        let entry = &mut self.groups[group];
        entry.kind = Kind::Contract(id);
        let sum = |vars: &[Var]| vars.iter().fold(Linear::default(), |sum, v| sum.plus(&Linear::var(*v), 1));
        entry.batch_and_m = (sum(&rows[..batch]), sum(&rows[batch..batch + m]));
        entry.loops.rows = rows;
        entry.members.push((id, positions));
        for (input, place) in inputs.into_iter().zip(operands) {
            self.groups[group].operands.push((input, place.clone()));
            self.ask(input, Request { group, place, need: Need::Stored });
        }
    }

    fn roles(&self, id: NodeId, positions: &[Linear]) -> Roles {
        let last = positions.len() - 1;
        let (batch, m) = match self.node(id).op {
            Op::MatMul => (&positions[..last - 1], &positions[last - 1..last]),
            _ => (&positions[..0], &positions[..last]),
        };
        Roles { batch: batch.to_vec(), m: m.to_vec(), n: positions[last..].to_vec() }
    }

    /// The row variables as batch, then those of the left operand, then the rest; each slowest first.
    fn order_rows(&self, group: GroupId, roles: &Roles) -> Option<(Vec<Var>, usize, usize)> {
        let mut rows = vec![];
        let mut counts = vec![];
        for part in [&roles.batch, &roles.m, &roles.n] {
            let before = rows.len();
            for position in part {
                let mut terms = position.terms.clone();
                terms.sort_by_key(|t| std::cmp::Reverse(t.1));
                for (var, _) in terms {
                    if rows.contains(&var) {
                        return None;
                    }
                    rows.push(var);
                }
            }
            counts.push(rows.len() - before);
        }
        (rows.len() == self.groups[group].loops.rows.len()).then_some((rows, counts[0], counts[1]))
    }

    /// Where the operands are read; makes the inner variables. `grouped`: the group and the channel inside it.
    fn operands(
        &mut self,
        id: NodeId,
        group: GroupId,
        positions: &[Linear],
        grouped: Option<(Linear, Linear)>,
    ) -> [Place; 2] {
        let node = self.node(id).clone();
        let last = positions.len() - 1;
        match &node.op {
            Op::Conv { kind, geometry } => {
                let (a, b) =
                    (self.node(node.inputs[0]).shape.clone(), self.node(node.inputs[1]).shape.clone());
                let zero = kiln_device::Value::zero(node.dtype.scalar());
                self.conv_operands(group, *kind, geometry, positions, [&a, &b], grouped)
                    .map(|place| Place { fill: place.fill.map(|_| zero), ..place })
            }
            _ => {
                let k = self.node(node.inputs[0]).shape[last];
                let k = self.loops(group).inner(k);
                let batch = &positions[..last - 1];
                let lhs = batch.iter().chain([&positions[last - 1], &k]).cloned().collect::<Vec<_>>();
                let rhs = batch.iter().chain([&k, &positions[last]]).cloned().collect::<Vec<_>>();
                [Place::at(lhs), Place::at(rhs)]
            }
        }
    }

    fn conv_operands(
        &mut self,
        group: GroupId,
        kind: ConvKind,
        geometry: &ConvGeometry,
        positions: &[Linear],
        shapes: [&[usize]; 2],
        grouped: Option<(Linear, Linear)>,
    ) -> [Place; 2] {
        let spatial = geometry.input.len();
        let channel = positions[spatial + 1].clone();
        let (lead, own) = grouped.unwrap_or((Linear::constant(0), channel));
        let of_group = |total: usize| (total / geometry.groups) as i64;
        let loops = self.loops(group);
        match kind {
            ConvKind::Forward => {
                let cells: Vec<Linear> = geometry.kernel.iter().map(|e| loops.inner(*e)).collect();
                let input = loops.inner(shapes[1][spatial]);
                let x = window_place(geometry, &positions[0], &positions[1..=spatial], &cells);
                let x = x.with(lead.times(shapes[1][spatial] as i64).plus(&input, 1));
                let w = cells.iter().cloned().chain([input, positions[spatial + 1].clone()]);
                [x.place(), Place::at(w.collect::<Vec<_>>())]
            }
            ConvKind::InputGradient => {
                let cells: Vec<Linear> = geometry.kernel.iter().map(|e| loops.inner(*e)).collect();
                let filters = of_group(shapes[1][spatial + 1]);
                let filter = loops.inner(filters as usize);
                let whole = lead.times(filters).plus(&filter, 1);
                let dy = unwindow_place(geometry, &positions[0], &positions[1..=spatial], &cells);
                let w = cells.iter().cloned().chain([own, whole.clone()]);
                [dy.with(whole).place(), Place::at(w.collect::<Vec<_>>())]
            }
            ConvKind::KernelGradient => {
                // Positions are (cells.., input channel of the group, filter).
                let n = loops.inner(shapes[0][0]);
                let output: Vec<Linear> = shapes[1][1..=spatial].iter().map(|e| loops.inner(*e)).collect();
                let x = window_place(geometry, &n, &output, &positions[..spatial]);
                let inputs = of_group(shapes[0][spatial + 1]);
                let x = x.with(lead.times(inputs).plus(&positions[spatial], 1));
                let dy = [n].into_iter().chain(output).chain([positions[spatial + 1].clone()]);
                [x.place(), Place::at(dy.collect::<Vec<_>>())]
            }
        }
    }
}

/// A place being put together.
struct Windowed {
    coordinates: Vec<Coordinate>,
    fences: Vec<Fence>,
}

impl Windowed {
    fn with(mut self, channel: Linear) -> Windowed {
        self.coordinates.push(Coordinate::plain(channel));
        self
    }

    fn place(self) -> Place {
        let fill = (!self.fences.is_empty()).then_some(kiln_device::Value::F32(0.0));
        Place { spot: Spot::At(self.coordinates), fences: self.fences, fill }
    }
}

/// `x[n, o·stride + cell·dilation − padding, ..]`.
fn window_place(geometry: &ConvGeometry, n: &Linear, output: &[Linear], cells: &[Linear]) -> Windowed {
    let mut windowed = Windowed { coordinates: vec![Coordinate::plain(n.clone())], fences: vec![] };
    for i in 0..geometry.input.len() {
        let position = output[i]
            .times(geometry.strides[i] as i64)
            .plus(&cells[i], geometry.dilations[i] as i64)
            .shifted(-(geometry.padding[i].0 as i64));
        if geometry.padding[i] != (0, 0) {
            windowed.fences.push(Fence { position: position.clone(), divisor: 1, extent: geometry.input[i] });
        }
        windowed.coordinates.push(Coordinate::plain(position));
    }
    windowed
}

/// `dy[n, (i + padding − cell·dilation) / stride, ..]`, where that is whole and in range.
fn unwindow_place(geometry: &ConvGeometry, n: &Linear, input: &[Linear], cells: &[Linear]) -> Windowed {
    let output = geometry.output().unwrap_or_default();
    let mut windowed = Windowed { coordinates: vec![Coordinate::plain(n.clone())], fences: vec![] };
    for i in 0..geometry.input.len() {
        let position = input[i]
            .shifted_by(geometry.padding[i].0 as i64)
            .plus(&cells[i], -(geometry.dilations[i] as i64));
        let divisor = geometry.strides[i] as i64;
        windowed.fences.push(Fence { position: position.clone(), divisor, extent: output[i] });
        windowed.coordinates.push(Coordinate { position, divisor });
    }
    windowed
}

impl Linear {
    fn shifted_by(&self, by: i64) -> Linear {
        self.clone().shifted(by)
    }
}
