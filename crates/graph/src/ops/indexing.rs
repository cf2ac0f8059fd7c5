//! What an index is made of: NumPy's items in Rust's words.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use crate::tensor::Tensor;

/// All axes that no other item of the index names; Python's `...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ellipsis;

/// A new axis of extent 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAxis;

/// Every `step`-th element from `start` to before `stop`. Negative bounds count from the end, bounds beyond an end mean
/// that end, and a negative step runs backwards: Python's `start:stop:step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first element; the step's near end where there is none.
    pub start: Option<i64>,
    /// One past the last; the step's far end where there is none.
    pub stop: Option<i64>,
    /// The distance of two elements, not 0.
    pub step: i64,
}

impl Span {
    /// All elements of an axis.
    pub const ALL: Span = Span { start: None, stop: None, step: 1 };

    /// The same bounds with another step.
    pub fn step(self, step: i64) -> Span {
        Span { step, ..self }
    }

    /// First element and number of elements on an axis.
    pub(crate) fn on(&self, extent: usize) -> Result<(usize, usize), String> {
        if self.step == 0 {
            return Err("the step of a range must not be 0".into());
        }
        let n = i128::from(extent as u64);
        let step = i128::from(self.step);
        let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let bound = |bound: Option<i64>, otherwise: i128| {
            let given = bound.map(i128::from);
            given.map_or(otherwise, |b| if b < 0 { b + n } else { b }.clamp(low, high))
        };
        let (start, stop) = match step > 0 {
            true => (bound(self.start, low), bound(self.stop, high)),
            false => (bound(self.start, high), bound(self.stop, low)),
        };
        let reach = if step > 0 { stop - start } else { start - stop };
        if reach <= 0 {
            return Ok((0, 0));
        }
        let count = (reach - 1) / step.abs() + 1;
        Ok((start as usize, count as usize))
    }
}

/// One item of an index.
#[derive(Clone, Debug)]
pub enum IndexItem {
    /// One element; its axis goes.
    At(i64),
    /// A range of an axis.
    Span(Span),
    /// All axes that no other item names.
    Ellipsis,
    /// A new axis of extent 1.
    NewAxis,
    /// Elements that an integer tensor names, or that a `bool` tensor marks.
    Tensor(Tensor),
}

/// What is chosen of a tensor: an item for each axis, from a tuple, one item, or [`crate::s!`].
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) items: Vec<IndexItem>,
}

impl Index {
    /// An index of items in the order of the axes.
    pub fn new(items: impl Into<Vec<IndexItem>>) -> Index {
        Index { items: items.into() }
    }
}

/// Types that are an item, and so an index of one.
macro_rules! items {
    ($([$($generic:tt)*] $type:ty => |$value:ident| $item:expr;)*) => { $(
        impl<$($generic)*> From<$type> for IndexItem {
            fn from($value: $type) -> IndexItem {
                $item
            }
        }

        impl<$($generic)*> From<$type> for Index {
            fn from(value: $type) -> Index {
                Index { items: vec![value.into()] }
            }
        }
    )* };
}

items! {
    [] Span => |span| IndexItem::Span(span);
    [] Ellipsis => |_all| IndexItem::Ellipsis;
    [] NewAxis => |_axis| IndexItem::NewAxis;
    [] Tensor => |tensor| IndexItem::Tensor(tensor);
    [] &Tensor => |tensor| IndexItem::Tensor(tensor.clone());
    [const N: usize] [i32; N] => |places| IndexItem::Tensor(Tensor::from_slice(&places));
    [] &[i32] => |places| IndexItem::Tensor(Tensor::from_slice(places));
    [] Vec<i32> => |places| IndexItem::Tensor(Tensor::from_slice(&places));
    [const N: usize] [bool; N] => |mask| IndexItem::Tensor(Tensor::from_slice(&mask));
    [] &[bool] => |mask| IndexItem::Tensor(Tensor::from_slice(mask));
    [] Vec<bool> => |mask| IndexItem::Tensor(Tensor::from_slice(&mask));
    [] RangeFull => |_all| IndexItem::Span(Span::ALL);
}

impl From<RangeFull> for Span {
    fn from(_: RangeFull) -> Span {
        Span::ALL
    }
}

/// Whole numbers and ranges of them; what is beyond `i64` is beyond every axis.
macro_rules! integers {
    ($($type:ty),*) => { $(
        items! {
            [] $type => |place| IndexItem::At(i64::try_from(place).unwrap_or(i64::MAX));
            [] Range<$type> => |range| IndexItem::Span(range.into());
            [] RangeFrom<$type> => |range| IndexItem::Span(range.into());
            [] RangeTo<$type> => |range| IndexItem::Span(range.into());
            [] RangeInclusive<$type> => |range| IndexItem::Span(range.into());
            [] RangeToInclusive<$type> => |range| IndexItem::Span(range.into());
        }

        impl From<Range<$type>> for Span {
            fn from(range: Range<$type>) -> Span {
                let bound = |b: $type| Some(i64::try_from(b).unwrap_or(i64::MAX));
                Span { start: bound(range.start), stop: bound(range.end), step: 1 }
            }
        }

        impl From<RangeFrom<$type>> for Span {
            fn from(range: RangeFrom<$type>) -> Span {
                Span { start: Some(i64::try_from(range.start).unwrap_or(i64::MAX)), ..Span::ALL }
            }
        }

        impl From<RangeTo<$type>> for Span {
            fn from(range: RangeTo<$type>) -> Span {
                Span { stop: Some(i64::try_from(range.end).unwrap_or(i64::MAX)), ..Span::ALL }
            }
        }

        impl From<RangeInclusive<$type>> for Span {
            fn from(range: RangeInclusive<$type>) -> Span {
                Span { stop: Span::from(..=*range.end()).stop, ..Span::from(*range.start()..) }
            }
        }

        impl From<RangeToInclusive<$type>> for Span {
            fn from(range: RangeToInclusive<$type>) -> Span {
                let last = i64::try_from(range.end).unwrap_or(i64::MAX);
                // One past the last element counted from the end is the end.
                Span { stop: last.checked_add(1).filter(|stop| *stop != 0), ..Span::ALL }
            }
        }
    )* };
}

integers!(i32, i64, usize);

/// Tuples of items.
macro_rules! tuples {
    ($(($($name:ident)+))*) => { $(
        impl<$($name: Into<IndexItem>),+> From<($($name,)+)> for Index {
            #[allow(non_snake_case)]
            fn from(($($name,)+): ($($name,)+)) -> Index {
                Index { items: vec![$($name.into()),+] }
            }
        }
    )* };
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

impl From<()> for Index {
    fn from((): ()) -> Index {
        Index { items: vec![] }
    }
}

impl From<Vec<IndexItem>> for Index {
    fn from(items: Vec<IndexItem>) -> Index {
        Index { items }
    }
}

/// An index, written as in NumPy: whole numbers, `a..b` (a range of an axis), `a..b;step`, `::step` (the whole axis in
/// steps), `...` (all axes that are left), `new_axis`, and tensors.
///
/// ```
/// use kiln_graph::{Tensor, s};
/// let x = Tensor::range(24).reshape(&[2, 3, 4]);
/// assert_eq!(x.index(s![0, 1.., ::2]).to_vec::<i32>()?, [4, 6, 8, 10]);
/// assert_eq!(x.index(s![..., -1]).to_vec::<i32>()?, [3, 7, 11, 15, 19, 23]);
/// assert_eq!(x.index(s![.., new_axis, ..2, ..;-1]).shape(), [2, 1, 2, 4]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[macro_export]
macro_rules! s {
    (@items [$($done:tt)*]) => { $crate::ops::Index::new([$($done)*]) };
    (@items [$($done:tt)*] ... $(, $($rest:tt)*)?) => {
        $crate::s!(@items [$($done)* $crate::ops::IndexItem::Ellipsis,] $($($rest)*)?)
    };
    (@items [$($done:tt)*] new_axis $(, $($rest:tt)*)?) => {
        $crate::s!(@items [$($done)* $crate::ops::IndexItem::NewAxis,] $($($rest)*)?)
    };
    (@items [$($done:tt)*] :: $step:expr $(, $($rest:tt)*)?) => {
        $crate::s!(@items [$($done)* $crate::ops::IndexItem::Span($crate::ops::Span::ALL.step($step)),] $($($rest)*)?)
    };
    (@items [$($done:tt)*] $range:expr ; $step:expr $(, $($rest:tt)*)?) => {
        $crate::s!(
            @items [$($done)* $crate::ops::IndexItem::Span($crate::ops::Span::from($range).step($step)),] $($($rest)*)?
        )
    };
    (@items [$($done:tt)*] $item:expr $(, $($rest:tt)*)?) => {
        $crate::s!(@items [$($done)* $crate::ops::IndexItem::from($item),] $($($rest)*)?)
    };
    ($($items:tt)*) => { $crate::s!(@items [] $($items)*) };
}
