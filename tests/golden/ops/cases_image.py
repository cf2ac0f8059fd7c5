"""keras.ops.image: resizing, warps, filters, colours, patches."""
import os

os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1")  # the backend that has them all in float64
import numpy as np, scipy.ndimage
from keras import ops
from keras.ops import image
from base import Group, results, widened

group = Group("image")
rng = np.random.default_rng(11)
unit = lambda *shape: rng.uniform(0.02, 0.98, size=shape).astype(np.float32)


def case(op, inputs, args, call=None, **options):
    """As Group.case, of `keras.ops.image.OP`, or of a reference of its own."""
    call = call or (lambda *x: getattr(image, op)(*x, **args))
    inputs = [np.asarray(x) for x in inputs]
    dtypes = [r.dtype for r in results(call(*inputs))]
    exact = results(call(*[widened(x) for x in inputs]))
    outputs = [e.astype(np.float32 if d == np.float64 else d) for e, d in zip(exact, dtypes)]
    group.case(op, inputs, args, outputs=outputs, **options)


FORMATS = ("channels_last", "channels_first")
put = lambda x, format: np.moveaxis(x, -1, -3) if format == "channels_first" else x

# Colours.
for format in FORMATS:
    for shape in ((2, 3, 4, 3), (5, 3, 3)):
        x = put(unit(*shape), format)
        for op in ("rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb"):
            case(op, [x], {"data_format": format}, tol="rel:2e-6", grad=len(shape) == 3)
special = np.array([[[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1e-9, 0, 1]]],
                   np.float32)
case("rgb_to_hsv", [special], {"data_format": "channels_last"})
case("hsv_to_rgb", [special], {"data_format": "channels_last"}, tol="abs:1e-6")
case("rgb_to_grayscale", [unit(2, 3, 1)], {"data_format": "channels_last"}, tol="exact")
case("rgb_to_grayscale", [rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)], {"data_format": "channels_last"},
     call=lambda x: (x.astype(np.float32) @ np.array([0.2989, 0.5870, 0.1140], np.float32))[..., None].astype(np.uint8)
     if x.dtype == np.uint8 else x, tol="exact")

# Resizing.
METHODS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
for method in METHODS:
    for shape, size, antialias in (((5, 7, 2), (10, 14), False), ((2, 9, 8, 3), (4, 3), False), ((2, 9, 8, 3), (4, 3), True),
                                   ((6, 5, 1), (6, 11), False), ((1, 1, 2), (3, 4), False), ((4, 4, 2), (1, 1), True),
                                   ((3, 5, 4), (7, 2), True)):
        x = unit(*shape)
        args = {"size": size, "interpolation": method, "antialias": antialias, "data_format": "channels_last"}
        case("resize", [x], args, tol="exact" if method == "nearest" else "abs:2e-6", grad=x.size < 100)
for format in FORMATS:
    for flag in ("crop_to_aspect_ratio", "pad_to_aspect_ratio"):
        for shape, size in (((2, 6, 9, 3), (4, 4)), ((9, 5, 2), (3, 6)), ((7, 8, 1), (5, 5))):
            x = put(unit(*shape), format)
            args = {"size": size, "interpolation": "bilinear", flag: True, "data_format": format}
            if flag[0] == "p":
                args["fill_value"] = 0.25
            case("resize", [x], args, tol="abs:2e-6", grad=len(shape) == 3)
case("resize", [rng.integers(0, 256, (5, 4, 3)).astype(np.uint8)], {"size": (3, 7), "interpolation": "nearest"}, tol="exact")
for method in ("linear", "cubic", "lanczos3", "lanczos5"):
    for antialias in (True, False):
        x = unit(2, 6, 5, 2)
        scale, translation = np.array([1.7, 0.6], np.float32), np.array([-1.3, 0.7], np.float32)
        args = {"output_shape": [2, 8, 4, 2], "spatial_dims": [1, 2], "method": method, "antialias": antialias}
        case("scale_and_translate", [x, scale, translation], args, tol="abs:1e-5", grad=antialias and method != "lanczos5",
             call=lambda x, s, t: image.scale_and_translate(x, (2, 8, 4, 2), s, t, (1, 2), method, antialias))
case("scale_and_translate", [unit(7), np.array([2], np.float32), np.array([1], np.float32)],
     {"output_shape": [9], "spatial_dims": [-1], "method": "linear", "antialias": True}, tol="abs:2e-6",
     call=lambda x, s, t: image.scale_and_translate(x, (9,), s, t, (0,), "linear", True))

# Values between elements.
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
for order in (0, 1):
    for mode in MODES:
        for shape, points in (((7,), (11,)), ((4, 5), (3, 4)), ((3, 4, 2), (9,)), ((1, 3), (8,))):
            x = rng.normal(size=shape).astype(np.float32)
            low = [rng.uniform(-1.7 * n, 2.7 * n, size=points) for n in shape]
            at = np.stack(low).astype(np.float32)
            args = {"order": order, "fill_mode": mode, "fill_value": 0.5 if mode == "constant" else 0}
            # An axis of one element has no mirror: SciPy.
            named = {"constant": "grid-constant", "wrap": "grid-wrap"}.get(mode, mode)
            call = None if 1 not in shape else lambda x, at: scipy.ndimage.map_coordinates(
                x, np.floor(at + 0.5) if order == 0 else at, order=order, mode=named, cval=args["fill_value"])
            case("map_coordinates", [x, at], args, call=call, tol="abs:4e-6", grad=x.size < 30)
half = np.array([[-1.5, -0.5, 0.5, 1.5, 2.5, 2.4999998, 0.49999997]], np.float32)
group.case("map_coordinates", [np.arange(4, dtype=np.float32), half], {"order": 0, "fill_mode": "nearest"},
           outputs=[np.array([0, 0, 1, 2, 3, 2, 0], np.float32)], tol="exact")
case("map_coordinates", [rng.integers(0, 99, (5, 6)).astype(np.int32), rng.uniform(-2, 7, (2, 9)).astype(np.float32)],
     {"order": 1, "fill_mode": "mirror"}, tol="exact")

# Warps.
for format in FORMATS:
    for method in ("nearest", "bilinear"):
        for mode in MODES:
            x = put(unit(2, 5, 6, 2), format)
            turn = np.array([[0.8312, 0.3117, -0.5731, -0.2239, 1.1317, 0.7173, 0, 0],
                             [1.4131, -0.2071, 1.3097, 0.3719, 0.7043, -1.1059, 0, 0]], np.float32)
            args = {"interpolation": method, "fill_mode": mode, "fill_value": 0.3 if mode == "constant" else 0,
                    "data_format": format}
            # Keras on JAX has no channels first here, with one image and another transform.
            case("affine_transform", [x, turn], args, tol="abs:1e-5", grad=method == "bilinear" and format[9] == "l")
case("affine_transform", [unit(5, 4, 1), np.array([1, 0, 0.5, 0, 1, -0.25, 0, 0], np.float32)],
     {"interpolation": "bilinear", "fill_mode": "constant", "data_format": "channels_last"}, tol="abs:2e-6")


def projected(x, t):
    """`c0` and `c1` as with TensorFlow."""
    y, z = np.mgrid[:x.shape[0], :x.shape[1]].astype(np.float64)
    k = t[6] * z + t[7] * y + 1
    at = np.stack([(t[3] * z + t[4] * y + t[5]) / k, (t[0] * z + t[1] * y + t[2]) / k])
    return np.stack([scipy.ndimage.map_coordinates(x[..., c], at, order=1, mode="grid-constant", cval=0)
                     for c in range(x.shape[2])], -1).astype(x.dtype)


case("affine_transform", [unit(6, 5, 2), np.array([0.9123, 0.1071, 0.3037, -0.1019, 1.1087, 0.4239, 0.02, -0.03], np.float32)],
     {"interpolation": "bilinear", "fill_mode": "constant", "data_format": "channels_last"}, call=projected, tol="abs:4e-6",
     grad=True)
start = np.array([[0, 0], [6, 0], [0, 5], [6, 5]], np.float32)
end = start + rng.uniform(-1, 1, (2, 4, 2)).astype(np.float32)
for format in FORMATS:
    for method in ("nearest", "bilinear"):
        x = put(unit(2, 6, 7, 2), format)
        args = {"interpolation": method, "fill_value": 0.4, "data_format": format}
        case("perspective_transform", [x, np.stack([start, start]), end], args, tol="abs:1e-5",
             grad=method == "bilinear" and format[9] == "l",
             call=lambda x, a, b: put(ops.convert_to_numpy(image.perspective_transform(
                 np.moveaxis(x, -3, -1) if format[9] == "f" else x, a.astype(np.float32), b.astype(np.float32), method, 0.4,
                 "channels_last")), format))
case("perspective_transform", [unit(4, 5, 1), start, start + 0.5],
     {"interpolation": "bilinear", "fill_value": 0.0, "data_format": "channels_last"}, tol="abs:1e-5")
for mode in ("reflect", "constant"):
    # No displacement; the displacements themselves are tested in crates/graph/tests/random.rs.
    x = unit(2, 4, 5, 3)
    group.case("elastic_transform", [x], {"alpha": 0.0, "sigma": 1.0, "fill_mode": mode, "seed": 3}, outputs=[x], tol="exact",
               grad=True)

# Filters.
for format in FORMATS:
    for shape, size, sigma in (((2, 6, 5, 3), (3, 3), (1.0, 1.0)), ((7, 8, 2), (5, 3), (1.5, 0.7)), ((4, 4, 1), (2, 4), (0.8, 2.0))):
        x = put(unit(*shape), format)
        case("gaussian_blur", [x], {"kernel_size": size, "sigma": sigma, "data_format": format}, tol="abs:2e-6",
             grad=len(shape) == 3)
    x = put(unit(2, 5, 6, 2), format)
    case("sobel_edges", [x], {"data_format": format}, tol="abs:4e-6", grad=format[9] == "l")
for shape, options in (((2, 12, 13, 2), {}), ((8, 9, 1), {"filter_size": 5, "filter_sigma": 1.0, "max_val": 2.0}),
                       ((1, 7, 7, 1), {"filter_size": 7, "k1": 0.02, "k2": 0.05})):
    for format in FORMATS:
        # Keras takes one image with channels first wrongly: its axes are moved as a batch's.
        if format[9] == "f" and len(shape) == 3:
            continue
        a = put(unit(*shape), format)
        b = (a + rng.normal(0, 0.1, size=a.shape)).astype(np.float32)
        case("ssim", [a, b], {**options, "data_format": format}, tol="abs:2e-5", grad=a.size < 100)
case("ssim", [unit(12, 12, 3)] * 2, {"data_format": "channels_last"}, call=lambda a, b: np.array(1, a.dtype), tol="abs:2e-6")

# Patches and frames.
for format in FORMATS:
    for shape, args in (((2, 6, 7, 3), {"size": 3}), ((5, 6, 1), {"size": [2, 3], "strides": [1, 2], "padding": "valid"}),
                        ((2, 6, 6, 2), {"size": 3, "strides": 2, "padding": "same"}),
                        ((1, 7, 7, 2), {"size": 2, "strides": 1, "dilation_rate": 2, "padding": "valid"})):
        x = put(unit(*shape), format)
        args = {"padding": "valid", **args, "data_format": format}
        case("extract_patches", [x], args, tol="exact", grad=x.size < 110)
    for shape, args in (((1, 4, 5, 6, 2), {"size": 2}), ((4, 4, 5, 1), {"size": [2, 3, 2], "strides": 1, "padding": "same"})):
        x = unit(*shape)
        x = np.moveaxis(x, -1, -4) if format == "channels_first" else x
        args = {"padding": "valid", **args, "data_format": format}
        case("extract_patches_3d", [x], args, tol="exact", grad=x.size < 110)
    for shape in ((2, 6, 7, 3), (5, 6, 2)):
        x = put(unit(*shape), format)
        h, w = shape[-3:-1]
        for args in ({"top": 1, "bottom": 2, "left": 0, "right": 3}, {"top": 1, "left": 2, "height": h - 2, "width": w - 4},
                     {"bottom": 1, "right": 2, "height": h - 1, "width": w - 2}):
            named = lambda kind: {**{f"{k}_{kind}": v for k, v in args.items() if k not in ("height", "width")},
                                  **{f"target_{k}": v for k, v in args.items() if k in ("height", "width")},
                                  "data_format": format}
            case("crop_images", [x], named("cropping"), tol="exact", grad=len(shape) == 3)
            if "height" in args:
                args = {**args, "height": h + 4, "width": w + 3}
            case("pad_images", [x], named("padding"), tol="exact", grad=len(shape) == 3)

# No images: as many results (Keras on JAX).
none = np.zeros((0, 6, 5, 3), np.float32)
last = {"data_format": "channels_last"}
for op, inputs, args, shape in [
        ("gaussian_blur", [none], {"kernel_size": [3, 3], "sigma": [1.0, 1.0]}, none.shape),
        ("sobel_edges", [none], {}, (*none.shape, 2)),
        ("ssim", [none, none], {"filter_size": 5, "k1": 0.01, "k2": 0.03}, (0,)),
        ("affine_transform", [none, np.zeros((0, 8), np.float32)], {"interpolation": "bilinear", "fill_mode": "constant"}, none.shape),
        ("affine_transform", [none, np.arange(8, dtype=np.float32)], {"interpolation": "nearest", "fill_mode": "reflect"}, none.shape),
        ("perspective_transform", [none, np.zeros((0, 4, 2), np.float32), np.zeros((0, 4, 2), np.float32)],
         {"interpolation": "bilinear", "fill_value": 0.0}, none.shape),
        ("elastic_transform", [none], {"alpha": 2.0, "sigma": 1.0, "fill_mode": "reflect", "seed": 3}, none.shape)]:
    group.case(op, inputs, args | last, [np.zeros(shape, np.float32)], "exact")
group.write()
