//! From and to arrays of the `ndarray` crate.

use ndarray::{ArrayBase, ArrayD, Data, Dimension};

use crate::error::{Error, Result};
use crate::tensor::{Element, Tensor, here};

impl<T: Element, S: Data<Elem = T>, D: Dimension> From<&ArrayBase<S, D>> for Tensor {
    /// A copy of an array or view, whatever its strides.
    #[track_caller]
    fn from(array: &ArrayBase<S, D>) -> Tensor {
        let elements = array.as_slice().map_or_else(|| array.iter().copied().collect(), <[T]>::to_vec);
        Tensor::from_vec(elements, array.shape())
    }
}

impl<T: Element, S: Data<Elem = T>, D: Dimension> From<ArrayBase<S, D>> for Tensor {
    /// A copy of an array or view, whatever its strides.
    #[track_caller]
    fn from(array: ArrayBase<S, D>) -> Tensor {
        Tensor::from(&array)
    }
}

impl Tensor {
    /// The elements as an array of the `ndarray` crate, computed if need be.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// use ndarray::array;
    /// let x = Tensor::from(array![[1.0f32, 2.0], [3.0, 4.0]].t());
    /// assert_eq!((x * 2.0).to_ndarray::<f32>()?, array![[2.0, 6.0], [4.0, 8.0]].into_dyn());
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[doc(alias = "numpy")]
    #[track_caller]
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        let at = here();
        let array = ArrayD::from_shape_vec(self.shape(), self.to_vec::<T>()?);
        array.map_err(|error| Error::Operation { op: "to_ndarray", message: error.to_string(), at })
    }
}
