//! `keras.ops.image`: resizing, warping, filters, colours, patches.
//!
//! Images are `[height, width, channels]` or `[batch, height, width, channels]`, or with channels first. Everything is
//! differentiable with respect to the images.

mod colors;
mod filters;
mod patches;
mod resize;
mod sample;
mod transform;

pub use colors::{hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv};
pub use filters::{Similarity, gaussian_blur, sobel_edges, ssim};
pub use patches::{Margins, crop_images, extract_patches, extract_patches_3d, pad_images};
pub use resize::{AspectRatio, resize, scale_and_translate};
pub use sample::map_coordinates;
pub use transform::{affine_transform, elastic_transform, perspective_transform};

/// How values between pixels are found; Keras' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Linear between neighbours.
    #[default]
    Bilinear,
    /// The cubic kernel of Keys 1981 with a = −½.
    Bicubic,
    /// Lanczos' kernel of radius 3.
    Lanczos3,
    /// Lanczos' kernel of radius 5.
    Lanczos5,
}

impl std::str::FromStr for Interpolation {
    type Err = String;

    fn from_str(name: &str) -> Result<Interpolation, String> {
        match name {
            "nearest" => Ok(Interpolation::Nearest),
            "bilinear" | "linear" => Ok(Interpolation::Bilinear),
            "bicubic" | "cubic" => Ok(Interpolation::Bicubic),
            "lanczos3" => Ok(Interpolation::Lanczos3),
            "lanczos5" => Ok(Interpolation::Lanczos5),
            other => Err(format!(
                "expected interpolation `nearest`, `bilinear`, `bicubic`, `lanczos3` or `lanczos5`, received `{other}`"
            )),
        }
    }
}

/// What stands outside an image; Keras' words. Of a row `a b c d`:
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FillMode {
    /// `k k k k | a b c d | k k k k`
    Constant(f64),
    /// `a a a a | a b c d | d d d d`
    Nearest,
    /// `a b c d | a b c d | a b c d`
    Wrap,
    /// `c d c b | a b c d | c b a b`
    Mirror,
    /// `d c b a | a b c d | d c b a`
    Reflect,
}

impl Default for FillMode {
    fn default() -> FillMode {
        FillMode::Constant(0.0)
    }
}

impl std::str::FromStr for FillMode {
    type Err = String;

    /// By Keras' name; the constant is 0.
    fn from_str(name: &str) -> Result<FillMode, String> {
        match name {
            "constant" => Ok(FillMode::Constant(0.0)),
            "nearest" => Ok(FillMode::Nearest),
            "wrap" => Ok(FillMode::Wrap),
            "mirror" => Ok(FillMode::Mirror),
            "reflect" => Ok(FillMode::Reflect),
            other => Err(format!(
                "expected fill mode `constant`, `nearest`, `wrap`, `mirror` or `reflect`, received `{other}`"
            )),
        }
    }
}
