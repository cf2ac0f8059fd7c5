//! Tensors from nested Rust arrays, vectors and slices, and back.

use crate::error::{At, Error, Result};
use crate::shape::Shape;
use crate::tensor::{Element, Tensor, here};

/// An element, or an array or vector of such, to any depth: what [`Tensor::from`] takes and [`Tensor::to_nested`] gives.
///
/// The rank is the depth of the type, also where there are no elements.
///
/// ```
/// use kiln_graph::Tensor;
/// let x = Tensor::from([[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]]);
/// assert_eq!(x.shape(), [3, 2]);
/// let y = Tensor::from(vec![vec![true, false], vec![false, false]]);
/// assert_eq!(y.any(1).to_nested::<Vec<bool>>()?, [true, false]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
pub trait Nested: Sized {
    /// The innermost type.
    type Element: Element;

    /// Appends the elements in row-major order; `shape` is of the levels from here on, and every level must agree.
    #[doc(hidden)]
    fn flatten(&self, shape: &[usize], into: &mut Vec<Self::Element>) -> Result<(), String>;

    /// The extents of the first item at every level.
    #[doc(hidden)]
    fn extents(first: Option<&Self>, shape: &mut Shape);

    /// Takes the elements of `shape` from the front.
    #[doc(hidden)]
    fn nest(shape: &[usize], elements: &mut &[Self::Element]) -> Result<Self, String>;
}

impl<T: Element> Nested for T {
    type Element = T;

    fn flatten(&self, _: &[usize], into: &mut Vec<T>) -> Result<(), String> {
        into.push(*self);
        Ok(())
    }

    fn extents(_: Option<&T>, _: &mut Shape) {}

    fn nest(shape: &[usize], elements: &mut &[T]) -> Result<T, String> {
        match (shape, elements.split_first()) {
            ([], Some((first, rest))) => {
                *elements = rest;
                Ok(*first)
            }
            _ => Err(deeper()),
        }
    }
}

impl<R: Nested> Nested for Vec<R> {
    type Element = R::Element;

    fn flatten(&self, shape: &[usize], into: &mut Vec<R::Element>) -> Result<(), String> {
        flatten_items(self, shape, into)
    }

    fn extents(first: Option<&Vec<R>>, shape: &mut Shape) {
        shape.push(first.map_or(0, Vec::len));
        R::extents(first.and_then(|items| items.first()), shape);
    }

    fn nest(shape: &[usize], elements: &mut &[R::Element]) -> Result<Vec<R>, String> {
        let (extent, rest) = shape.split_first().ok_or_else(shallower)?;
        (0..*extent).map(|_| R::nest(rest, elements)).collect()
    }
}

impl<R: Nested, const N: usize> Nested for [R; N] {
    type Element = R::Element;

    fn flatten(&self, shape: &[usize], into: &mut Vec<R::Element>) -> Result<(), String> {
        flatten_items(self, shape, into)
    }

    fn extents(first: Option<&[R; N]>, shape: &mut Shape) {
        shape.push(N);
        R::extents(first.and_then(|items| items.first()), shape);
    }

    fn nest(shape: &[usize], elements: &mut &[R::Element]) -> Result<[R; N], String> {
        let (extent, rest) = shape.split_first().ok_or_else(shallower)?;
        let items: Vec<R> = (0..*extent).map(|_| R::nest(rest, elements)).collect::<Result<_, _>>()?;
        items.try_into().map_err(|items: Vec<R>| format!("expected an axis of {N}, received {}", items.len()))
    }
}

fn flatten_items<R: Nested>(items: &[R], shape: &[usize], into: &mut Vec<R::Element>) -> Result<(), String> {
    match shape {
        [extent, rest @ ..] if *extent == items.len() => {
            items.iter().try_for_each(|item| item.flatten(rest, into))
        }
        [extent, ..] => Err(format!(
            "expected items of one length, received {extent} and {}; pad them, or use a RaggedTensor",
            items.len()
        )),
        [] => Err(shallower()),
    }
}

fn deeper() -> String {
    "the tensor has more axes than the type has levels".into()
}

fn shallower() -> String {
    "the tensor has fewer axes than the type has levels".into()
}

fn from_items<R: Nested>(items: &[R], at: At) -> Tensor {
    let mut shape = vec![items.len()];
    R::extents(items.first(), &mut shape);
    let mut elements = vec![];
    match flatten_items(items, &shape, &mut elements) {
        Ok(()) => Tensor::from_host(R::Element::to_bytes(&elements).into(), shape, R::Element::DTYPE, at),
        Err(message) => Tensor::failed("from", message, at),
    }
}

macro_rules! from_items {
    ($($(#[$doc:meta])* [$($generics:tt)*] $type:ty;)*) => { $(
        impl<R: Nested, $($generics)*> From<$type> for Tensor {
            $(#[$doc])*
            #[track_caller]
            fn from(items: $type) -> Tensor {
                from_items(&items[..], here())
            }
        }
    )* };
}

from_items! {
    /// Items along a new first axis; carries an error where they differ in length.
    [] Vec<R>;
    /// Items along a new first axis; carries an error where they differ in length.
    [] &Vec<R>;
    /// Items along a new first axis; carries an error where they differ in length.
    [] &[R];
    /// Items along a new first axis.
    [const N: usize] [R; N];
    /// Items along a new first axis.
    [const N: usize] &[R; N];
}

impl Tensor {
    /// The elements as nested vectors or arrays, one level for each axis, computed if need be.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let x = Tensor::range(6).reshape(&[2, 3]);
    /// assert_eq!(x.to_nested::<Vec<Vec<i32>>>()?, [[0, 1, 2], [3, 4, 5]]);
    /// assert_eq!(x.to_nested::<[[i32; 3]; 2]>()?[1], [3, 4, 5]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::to_vec`]; where the levels are not as many as the axes, or an array is not as long as its axis.
    #[doc(alias = "tolist")]
    #[track_caller]
    pub fn to_nested<R: Nested>(&self) -> Result<R> {
        let at = here();
        let elements = self.to_vec::<R::Element>()?;
        R::nest(self.shape(), &mut &elements[..]).map_err(|why| {
            let message = format!("{why}: {:?} as {}", self.shape(), std::any::type_name::<R>());
            Error::Operation { op: "to_nested", message, at }
        })
    }
}
