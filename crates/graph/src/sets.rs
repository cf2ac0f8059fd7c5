//! Operations on sets: the last axis of a tensor holds the elements of one set for each place of the other axes.
//!
//! Sets are dense or sparse tensors of integers or strings; an element that stands twice counts once. Results are sparse,
//! in ascending order (strings by their bytes), since sets differ in size. Names and results are those of `tf.sets`.
//! Elements are read at once and results are host data: this cannot be done while a function is traced, unless the
//! elements are host data too.
//!
//! ```
//! use kiln_graph::{Tensor, sets};
//! let a = Tensor::from_vec([1, 2, 2, 3], &[1, 4]);
//! let b = Tensor::from_vec([3, 2, 9], &[1, 3]);
//! assert_eq!(sets::intersection(&a, &b).values().to_vec::<i32>()?, [2, 3]);
//! assert_eq!(sets::size(&sets::union(&a, &b)).to_vec::<i32>()?, [4]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```

use std::collections::BTreeSet;

use kiln_device::DType;

use crate::error::{At, Result};
use crate::site::Site;
use crate::sparse::{Coordinates, SparseTensor};
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::Values;

/// The elements of sets, row by row, and how they become values again.
pub trait SetValues: Values {
    /// What sets hold.
    #[doc(hidden)]
    type Element: Ord + Clone;

    /// The elements in row-major order.
    #[doc(hidden)]
    fn elements_of(&self, op: &'static str, at: At) -> Result<Vec<Self::Element>>;

    /// Values of elements, of the type of these.
    #[doc(hidden)]
    fn of_elements(&self, elements: Vec<Self::Element>) -> Self;
}

impl SetValues for Tensor {
    type Element = i64;

    fn elements_of(&self, op: &'static str, at: At) -> Result<Vec<i64>> {
        Site { op, at }.wide_integers(self)
    }

    fn of_elements(&self, elements: Vec<i64>) -> Tensor {
        let shape = [elements.len()];
        match self.dtype() {
            DType::I64 => Tensor::from_vec(&elements, &shape),
            DType::U32 => Tensor::from_vec(elements.iter().map(|n| *n as u32).collect::<Vec<_>>(), &shape),
            DType::U8 => Tensor::from_vec(elements.iter().map(|n| *n as u8).collect::<Vec<_>>(), &shape),
            DType::Bool => Tensor::from_vec(elements.iter().map(|n| *n != 0).collect::<Vec<_>>(), &shape),
            _ => Tensor::from_vec(elements.iter().map(|n| *n as i32).collect::<Vec<_>>(), &shape),
        }
    }
}

impl SetValues for StringTensor {
    type Element = String;

    fn elements_of(&self, _: &'static str, _: At) -> Result<Vec<String>> {
        self.to_vec()
    }

    fn of_elements(&self, elements: Vec<String>) -> StringTensor {
        let count = elements.len();
        StringTensor::made(elements, vec![count])
    }
}

/// The sets of an operand: the dimensions of all axes but the last, and a set for each of their places.
#[doc(hidden)]
pub struct Sets<V: SetValues> {
    outer: Vec<usize>,
    sets: Vec<BTreeSet<V::Element>>,
    values: V,
}

/// A tensor whose last axis holds sets: dense or sparse, of integers or strings.
pub trait SetOperand {
    /// The values: a `Tensor` or a `StringTensor`.
    type Values: SetValues;

    /// The sets.
    #[doc(hidden)]
    fn sets(&self, op: &'static str, at: At) -> Result<Sets<Self::Values>>;
}

fn dense_sets<V: SetValues>(values: &V, site: Site) -> Result<Sets<V>> {
    if let Some(error) = values.fault() {
        return Err(error.clone());
    }
    let Some((width, outer)) = values.dims().split_last() else {
        return Err(site.error("expected at least one axis, whose items are the set, received a scalar"));
    };
    let elements = values.elements_of(site.op, site.at)?;
    let set = |place: usize| elements[place * width..(place + 1) * width].iter().cloned().collect();
    let places = site.count(outer)?;
    Ok(Sets { outer: outer.to_vec(), sets: (0..places).map(set).collect(), values: values.clone() })
}

fn sparse_sets<V: SetValues>(sparse: &SparseTensor<V>, site: Site) -> Result<Sets<V>> {
    sparse.check()?;
    let outer = sparse.dense_shape()[..sparse.rank() - 1].to_vec();
    let mut sets = vec![BTreeSet::new(); site.count(&outer)?];
    let elements = sparse.values().elements_of(site.op, site.at)?;
    for (place, element) in sparse.indices().chunks_exact(sparse.rank()).zip(elements) {
        let position = place.iter().zip(&outer).fold(0, |sum, (c, extent)| sum * extent + *c as usize);
        sets[position].insert(element);
    }
    Ok(Sets { outer, sets, values: sparse.values().clone() })
}

macro_rules! operand {
    ($($type:ty, $values:ty => $sets:ident;)*) => { $(
        impl SetOperand for $type {
            type Values = $values;

            fn sets(&self, op: &'static str, at: At) -> Result<Sets<$values>> {
                $sets(self, Site { op, at })
            }
        }
    )* };
}

operand! {
    Tensor, Tensor => dense_sets;
    StringTensor, StringTensor => dense_sets;
    SparseTensor<Tensor>, Tensor => sparse_sets;
    SparseTensor<StringTensor>, StringTensor => sparse_sets;
}

/// The number of different elements of every set, `int32`, of the shape of all axes but the last.
#[track_caller]
pub fn size(sets: &impl SetOperand) -> Tensor {
    let site = Site::new("sets.size");
    site.settle(|| {
        let sets = sets.sets(site.op, site.at)?;
        let counts: Vec<i32> = sets.sets.iter().map(|set| set.len() as i32).collect();
        Ok(Tensor::from_vec(&counts, &sets.outer))
    })
}

/// The elements that are in both sets.
#[track_caller]
pub fn intersection<A: SetOperand>(
    a: &A,
    b: &impl SetOperand<Values = A::Values>,
) -> SparseTensor<A::Values> {
    combined(Site::new("sets.intersection"), a, b, |a, b| a.intersection(b).cloned().collect())
}

/// The elements that are in either set.
#[track_caller]
pub fn union<A: SetOperand>(a: &A, b: &impl SetOperand<Values = A::Values>) -> SparseTensor<A::Values> {
    combined(Site::new("sets.union"), a, b, |a, b| a.union(b).cloned().collect())
}

/// The elements that are in the first set and not in the second; the other way round where `a_minus_b` is false.
#[track_caller]
pub fn difference<A: SetOperand>(
    a: &A,
    b: &impl SetOperand<Values = A::Values>,
    a_minus_b: bool,
) -> SparseTensor<A::Values> {
    combined(Site::new("sets.difference"), a, b, |a, b| {
        let (from, without) = if a_minus_b { (a, b) } else { (b, a) };
        from.difference(without).cloned().collect()
    })
}

fn combined<V: SetValues>(
    site: Site,
    a: &impl SetOperand<Values = V>,
    b: &impl SetOperand<Values = V>,
    combine: impl Fn(&BTreeSet<V::Element>, &BTreeSet<V::Element>) -> Vec<V::Element>,
) -> SparseTensor<V> {
    site.settle(|| {
        let (a, b) = (a.sets(site.op, site.at)?, b.sets(site.op, site.at)?);
        site.expect(a.outer == b.outer, || {
            format!("expected equal shapes but for the last axis, received {:?} and {:?}", a.outer, b.outer)
        })?;
        site.expect(a.values.number_type() == b.values.number_type(), || {
            let (a, b) = (a.values.number_type(), b.values.number_type());
            format!("expected sets of one type, received {a:?} and {b:?}; cast one")
        })?;
        let sets: Vec<Vec<V::Element>> = a.sets.iter().zip(&b.sets).map(|(a, b)| combine(a, b)).collect();
        let largest = sets.iter().map(Vec::len).max().unwrap_or(0);
        let steps = crate::shape::strides(&a.outer);
        let mut flat = vec![];
        for (place, set) in sets.iter().enumerate() {
            for item in 0..set.len() {
                let outer = steps.iter().zip(&a.outer).map(|(step, extent)| (place / step % extent) as i32);
                flat.extend(outer.chain([item as i32]));
            }
        }
        let values = a.values.of_elements(sets.into_iter().flatten().collect());
        let places = Coordinates::checked(site, flat, [&a.outer[..], &[largest]].concat())?;
        SparseTensor::with_places(site, places.into(), values)
    })
}
