//! Colours: grey, and hue, saturation and value.

use crate::error::At;
use crate::ops::DataFormat;
use crate::ops::convert::epsilon;
use crate::ops::spatial::Batched;
use crate::tensor::{Tensor, here};

/// The three channels of a batch, each `[batch, height, width, 1]`.
fn channels(op: &'static str, images: &Batched, at: At) -> Result<[Tensor; 3], Tensor> {
    let x = &images.images;
    if x.shape()[3] != 3 || !x.dtype().is_float() {
        let message =
            format!("expected float images of 3 channels, received {} channels {}", x.shape()[3], x.dtype());
        return Err(Tensor::failed(op, message, at));
    }
    Ok([0, 1, 2].map(|i| x.slice_axis(-1, i, i + 1)))
}

fn stacked(images: &Batched, channels: &[Tensor; 3]) -> Tensor {
    images.restore(&Tensor::concat(channels, -1))
}

/// Brightness of images of red, green and blue: `0.2989 r + 0.587 g + 0.114 b` as one channel, in the images' dtype. Images
/// of one channel stay as they are.
///
/// # Errors
/// Where the rank is not 3 or 4, or there are not 1 or 3 channels.
#[track_caller]
pub fn rgb_to_grayscale(images: &Tensor, data_format: DataFormat) -> Tensor {
    let at = here();
    let batch = match Batched::new("rgb_to_grayscale", images, 2, data_format, at) {
        Ok(batch) => batch,
        Err(failed) => return failed,
    };
    let x = &batch.images;
    match x.shape()[3] {
        1 => images.clone(),
        3 => {
            let x = x.to_float();
            let part = |i: i64, weight: f64| x.slice_axis(-1, i, i + 1) * weight;
            let grey = part(0, 0.2989) + part(1, 0.587) + part(2, 0.114);
            batch.restore(&grey.cast(images.dtype()))
        }
        count => {
            let message = format!("expected 3 channels (RGB) or 1 (grayscale), received {count}");
            Tensor::failed("rgb_to_grayscale", message, at)
        }
    }
}

/// Red, green and blue as hue (0 to 1), saturation and value. Values below the dtype's epsilon count as 0.
///
/// # Errors
/// Where the rank is not 3 or 4, there are not 3 channels, or the dtype is no float.
#[track_caller]
pub fn rgb_to_hsv(images: &Tensor, data_format: DataFormat) -> Tensor {
    let at = here();
    let made = Batched::new("rgb_to_hsv", images, 2, data_format, at).and_then(|batch| {
        let epsilon = epsilon(images.dtype());
        let [r, g, b] =
            channels("rgb_to_hsv", &batch, at)?.map(|c| Tensor::select(&c.abs().less(epsilon), 0.0, &c));
        let value = r.maximum(&g).maximum(&b);
        let range = &value - r.minimum(&g).minimum(&b);
        let coloured = range.greater(0.0);
        let positive = value.greater(0.0);
        let saturation = Tensor::select(&positive, &range / Tensor::select(&positive, &value, 1.0), 0.0);
        let norm = 1.0 / (Tensor::select(&coloured, &range, 1.0) * 6.0);
        let from_blue = &norm * (&r - &g) + 4.0 / 6.0;
        let hue = Tensor::select(&value.equal(&g), &norm * (&b - &r) + 2.0 / 6.0, from_blue);
        let hue = Tensor::select(&value.equal(&r), norm * (g - b), hue);
        let turned = Tensor::select(&hue.less(0.0), 1.0, hue.zeros_like());
        Ok(stacked(&batch, &[Tensor::select(&coloured, &hue, 0.0) + turned, saturation, value]))
    });
    made.unwrap_or_else(|failed| failed)
}

/// Hue (in turns), saturation and value as red, green and blue; the inverse of [`rgb_to_hsv`].
///
/// # Errors
/// As [`rgb_to_hsv`].
#[track_caller]
pub fn hsv_to_rgb(images: &Tensor, data_format: DataFormat) -> Tensor {
    let at = here();
    let made = Batched::new("hsv_to_rgb", images, 2, data_format, at).and_then(|batch| {
        let [hue, saturation, value] = channels("hsv_to_rgb", &batch, at)?;
        let sector = hue.modulo(1.0) * 6.0;
        let share = [(&sector - 3.0).abs() - 1.0, 2.0 - (&sector - 2.0).abs(), 2.0 - (sector - 4.0).abs()];
        let grey = 1.0 - &saturation;
        let colours = share.map(|d| &value * (&grey + &saturation * d.clip(0.0, 1.0)));
        Ok(stacked(&batch, &colours))
    });
    made.unwrap_or_else(|failed| failed)
}
