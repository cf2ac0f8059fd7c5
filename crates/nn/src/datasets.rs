//! Small data sets that come with the crate.

/// Handwritten digits: 1797 images of 8×8 pixels in 10 classes.
///
/// "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
/// <https://doi.org/10.24432/C50P49>, CC BY 4.0; see `data/digits.LICENSE.md`.
pub mod digits {
    use kiln_graph::Tensor;

    /// Images and labels.
    pub type Pair = (Tensor, Tensor);

    const RECORDS: &[u8] = include_bytes!("data/digits.bin");
    /// 64 pixels of 0 to 16, and the label.
    const RECORD: usize = 65;
    const TEST: usize = 360;

    /// The training and the test set: images `[1437, 8, 8, 1]` and `[360, 8, 8, 1]`, `float32` from 0 to 1, and labels
    /// `[1437]` and `[360]`, `int32`.
    ///
    /// ```
    /// use kiln_nn::datasets::digits;
    /// let ((x_train, y_train), (x_test, y_test)) = digits::load();
    /// assert_eq!(x_train.shape(), [1437, 8, 8, 1]);
    /// assert_eq!(y_test.shape(), [360]);
    /// # let _ = (y_train, x_test);
    /// ```
    pub fn load() -> (Pair, Pair) {
        let (train, test) = RECORDS.split_at(RECORDS.len() - TEST * RECORD);
        (tensors(train), tensors(test))
    }

    fn tensors(records: &[u8]) -> Pair {
        let (mut pixels, mut labels) = (vec![], vec![]);
        for record in records.chunks_exact(RECORD) {
            pixels.extend(record[..RECORD - 1].iter().map(|p| *p as f32 / 16.0));
            labels.push(record[RECORD - 1] as i32);
        }
        let count = labels.len();
        (Tensor::from_vec(pixels, &[count, 8, 8, 1]), Tensor::from_vec(labels, &[count]))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_class_is_there_and_pixels_are_scaled() {
            let ((x, y), (_, y_test)) = load();
            let (pixels, labels) = (x.to_vec::<f32>().unwrap(), y.to_vec::<i32>().unwrap());
            assert!(pixels.iter().all(|p| (0.0..=1.0).contains(p)));
            assert!(pixels.contains(&1.0));
            let all: Vec<i32> = labels.into_iter().chain(y_test.to_vec::<i32>().unwrap()).collect();
            assert_eq!(all.len(), 1797);
            for class in 0..10 {
                assert!((174..=183).contains(&all.iter().filter(|l| **l == class).count()), "{class}");
            }
        }
    }
}
