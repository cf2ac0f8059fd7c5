//! What operations over spatial axes share: numbers per axis, and where the channels stand.

use crate::error::At;
use crate::tensor::Tensor;

/// One number for every spatial axis, or one for each; `()` is the default of the operation.
///
/// ```
/// use kiln_graph::ops::PerAxis;
/// let default: PerAxis = ().into();
/// let all: PerAxis = 2.into();
/// let each: PerAxis = [2, 3].into();
/// # let _ = (default, all, each);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerAxis {
    /// What the operation takes where nothing is said.
    Default,
    /// The same for every axis.
    All(usize),
    /// In the order of the axes.
    Each(Vec<usize>),
}

impl From<()> for PerAxis {
    fn from((): ()) -> PerAxis {
        PerAxis::Default
    }
}

impl From<usize> for PerAxis {
    fn from(number: usize) -> PerAxis {
        PerAxis::All(number)
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(numbers: [usize; N]) -> PerAxis {
        PerAxis::Each(numbers.to_vec())
    }
}

impl From<&[usize]> for PerAxis {
    fn from(numbers: &[usize]) -> PerAxis {
        PerAxis::Each(numbers.to_vec())
    }
}

impl From<Vec<usize>> for PerAxis {
    fn from(numbers: Vec<usize>) -> PerAxis {
        PerAxis::Each(numbers)
    }
}

impl PerAxis {
    /// The numbers of `axes` axes, or what is wrong with them.
    pub(crate) fn resolve(&self, name: &str, axes: usize, default: &[usize]) -> Result<Vec<usize>, String> {
        match self {
            PerAxis::Default => Ok(default.to_vec()),
            PerAxis::All(number) => Ok(vec![*number; axes]),
            PerAxis::Each(numbers) if numbers.len() == axes => Ok(numbers.clone()),
            PerAxis::Each(numbers) => {
                Err(format!("expected `{name}` as one number or {axes} of them, received {numbers:?}"))
            }
        }
    }

    /// As [`PerAxis::resolve`]; a 0 is wrong too.
    pub(crate) fn positive(&self, name: &str, axes: usize, default: &[usize]) -> Result<Vec<usize>, String> {
        let numbers = self.resolve(name, axes, default)?;
        if numbers.contains(&0) {
            return Err(format!("expected `{name}` ≥ 1, received {numbers:?}"));
        }
        Ok(numbers)
    }
}

/// Where the channels of an image stand; Keras' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DataFormat {
    /// `[batch, spatial.., channels]`.
    #[default]
    ChannelsLast,
    /// `[batch, channels, spatial..]`.
    ChannelsFirst,
}

impl std::str::FromStr for DataFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<DataFormat, String> {
        match name {
            "channels_last" => Ok(DataFormat::ChannelsLast),
            "channels_first" => Ok(DataFormat::ChannelsFirst),
            other => {
                Err(format!("expected data format `channels_last` or `channels_first`, received `{other}`"))
            }
        }
    }
}

impl std::fmt::Display for DataFormat {
    /// Keras' name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DataFormat::ChannelsLast => "channels_last",
            DataFormat::ChannelsFirst => "channels_first",
        })
    }
}

impl DataFormat {
    /// The order of axes that puts the channels of `rank` axes last; `spatial` of them are spatial.
    fn to_last(self, rank: usize, spatial: usize) -> Option<Vec<i64>> {
        if self == DataFormat::ChannelsLast || rank <= spatial {
            return None;
        }
        let (rank, channels) = (rank as i64, (rank - spatial - 1) as i64);
        Some((0..channels).chain(channels + 1..rank).chain([channels]).collect())
    }

    /// The tensor with its channels last.
    pub(crate) fn channels_last(self, x: &Tensor, spatial: usize) -> Tensor {
        self.to_last(x.rank(), spatial).map_or_else(|| x.clone(), |order| x.transpose(&order))
    }

    /// A tensor with channels last in this format.
    pub(crate) fn restore(self, x: &Tensor, spatial: usize) -> Tensor {
        if self == DataFormat::ChannelsLast || x.rank() <= spatial {
            return x.clone();
        }
        let (rank, channels) = (x.rank() as i64, (x.rank() - spatial - 1) as i64);
        let order: Vec<i64> = (0..channels).chain([rank - 1]).chain(channels..rank - 1).collect();
        x.transpose(&order)
    }
}

/// Images `[height, width, channels]` or a batch of them, as a batch with channels last; and the way back.
pub(crate) struct Batched {
    /// `[batch, spatial.., channels]`.
    pub(crate) images: Tensor,
    single: bool,
    spatial: usize,
    format: DataFormat,
}

impl Batched {
    /// Takes `spatial` axes and channels, with or without a batch axis before them.
    pub(crate) fn new(
        op: &'static str,
        images: &Tensor,
        spatial: usize,
        format: DataFormat,
        at: At,
    ) -> Result<Batched, Tensor> {
        if images.error().is_some() {
            return Err(images.clone());
        }
        let rank = images.rank();
        if rank != spatial + 1 && rank != spatial + 2 {
            let message = format!(
                "expected rank {} (one image) or {} (a batch of images), received shape {:?}",
                spatial + 1,
                spatial + 2,
                images.shape()
            );
            return Err(Tensor::failed(op, message, at));
        }
        let single = rank == spatial + 1;
        let last = format.channels_last(images, spatial);
        let images = if single { last.expand_dims(0) } else { last };
        Ok(Batched { images, single, spatial, format })
    }

    /// A result `[batch, spatial.., channels]` in the form that the images came in.
    pub(crate) fn restore(&self, result: &Tensor) -> Tensor {
        let result = if self.single { result.squeeze(0) } else { result.clone() };
        self.format.restore(&result, self.spatial)
    }
}

/// An error where an operation would work out a table of more than 2²⁸ numbers on the host.
pub(crate) fn check_table(extents: &[usize]) -> Result<(), String> {
    match kiln_device::size::element_count(extents) {
        Ok(count) if count <= 1 << 28 => Ok(()),
        _ => {
            Err(format!("expected weights or positions of at most 2²⁸ numbers, these sizes need {extents:?}"))
        }
    }
}

/// The first of several tensors that carries an error.
pub(crate) fn failed_of(tensors: &[&Tensor]) -> Option<Tensor> {
    tensors.iter().find(|t| t.error().is_some()).map(|t| (*t).clone())
}
