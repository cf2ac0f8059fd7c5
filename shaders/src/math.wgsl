// The operations of kiln_device::op that WGSL lacks or defines too loosely: the same polynomials as
// crates/device/src/math.rs, which says where they come from. Tests of NaN, infinity and sign look at bits, because a
// compiler may assume that floats are finite; NaN and infinity are built from bits of a parameter, because WGSL
// rejects them as constants.

const KILN_MAGIC: f32 = 12582912.0;
const KILN_LOG2_E: f32 = 1.44269504;
const KILN_LN2_HIGH: f32 = 0.693359375;
const KILN_LN2_LOW: f32 = -2.12194440e-4;
const KILN_HALF_PI: f32 = 1.57079633;

fn kiln_bits(x: f32) -> u32 { return bitcast<u32>(x); }
fn kiln_magnitude(x: f32) -> u32 { return bitcast<u32>(x) & 0x7fffffffu; }
fn kiln_is_nan(x: f32) -> bool { return kiln_magnitude(x) > 0x7f800000u; }
fn kiln_is_inf(x: f32) -> bool { return kiln_magnitude(x) == 0x7f800000u; }
fn kiln_is_negative(x: f32) -> bool { return kiln_bits(x) >= 0x80000000u; }
fn kiln_is_zero(x: f32) -> bool { return kiln_magnitude(x) == 0u; }

// A float of these bits; `any` is any value that is not a constant.
fn kiln_from_bits(any: f32, bits: u32) -> f32 { return bitcast<f32>((bitcast<u32>(any) & 0u) | bits); }
fn kiln_nan(any: f32) -> f32 { return kiln_from_bits(any, 0x7fc00000u); }
fn kiln_inf(any: f32) -> f32 { return kiln_from_bits(any, 0x7f800000u); }

// Not by masks of bits: Mesa 22.3 gives garbage for those where it knows the sign, in tanh(sigmoid(x)) for instance.
fn kiln_copy_sign(magnitude: f32, sign: f32) -> f32 {
    return select(abs(magnitude), -abs(magnitude), kiln_is_negative(sign));
}

fn kiln_mask(x: f32, bits: u32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & bits); }

// 2^n for n in -126..=127.
fn kiln_power_of_two(n: i32) -> f32 { return bitcast<f32>(u32(n + 127) << 23u); }

// The nearest whole number of |x| < 2^22.
fn kiln_nearest(x: f32) -> i32 { return bitcast<i32>(x + KILN_MAGIC) - bitcast<i32>(KILN_MAGIC); }

// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2.
fn kiln_exp_tail(r: f32) -> f32 {
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    return p * r + 5.0000001201e-1;
}

fn kiln_scale(value: f32, n: i32) -> f32 {
    let half = n >> 1u;
    return value * kiln_power_of_two(half) * kiln_power_of_two(n - half);
}

fn kiln_exp(x: f32) -> f32 {
    let c = clamp(x, -104.0, 89.0);
    let whole = kiln_nearest(c * KILN_LOG2_E);
    let n = f32(whole);
    let r = (c - n * KILN_LN2_HIGH) - n * KILN_LN2_LOW;
    let y = kiln_scale(kiln_exp_tail(r) * (r * r) + r + 1.0, whole);
    return select(y, x, kiln_is_nan(x));
}

fn kiln_expm1(x: f32) -> f32 {
    let c = clamp(x, -30.0, 89.0);
    let whole = kiln_nearest(c * KILN_LOG2_E);
    let n = f32(whole);
    let r = (c - n * KILN_LN2_HIGH) - n * KILN_LN2_LOW;
    let p = kiln_exp_tail(r) * (r * r) + r;
    let s = kiln_power_of_two(whole - 1);
    let y = 2.0 * (s * p + (s - 0.5));
    return select(y, x, kiln_is_nan(x) || kiln_is_zero(x));
}

// A positive, finite number as (1 + f) 2^k, with f and k.
fn kiln_log_parts(x: f32) -> vec2<f32> {
    let small = kiln_bits(x) < 0x00800000u;
    let scaled = select(x, x * 8388608.0, small);
    let bits = kiln_bits(scaled) + 0x004afb0du;
    let k = f32(i32(bits >> 23u) - 127 - select(0, 23, small));
    return vec2<f32>(bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0, k);
}

// The logarithm of (1 + f) 2^k.
fn kiln_log_of_parts(f: f32, k: f32) -> f32 {
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = w * (0.40000972152 + w * 0.24279078841);
    let even = z * (0.66666662693 + w * 0.28498786688);
    let half_square = 0.5 * f * f;
    return s * (half_square + (odd + even)) + k * 9.0580006145e-6 - half_square + f + k * 6.9313812256e-1;
}

fn kiln_log_special(x: f32, inside: f32) -> f32 {
    var y = select(inside, x, kiln_is_inf(x) || kiln_is_nan(x));
    y = select(y, kiln_nan(x), kiln_is_negative(x) && !kiln_is_nan(x));
    return select(y, -kiln_inf(x), kiln_is_zero(x));
}

fn kiln_log(x: f32) -> f32 {
    let parts = kiln_log_parts(x);
    return kiln_log_special(x, kiln_log_of_parts(parts.x, parts.y));
}

// A compiler may fold the correction of the sum's rounding to 0; near 0, where that would count, there is no sum.
fn kiln_log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let near = x > -0.29 && x < 0.41;
    let parts = select(kiln_log_parts(u), vec2<f32>(x, 0.0), near);
    let correction = select((x - (u - 1.0)) / u, 0.0, near);
    let y = kiln_log_special(u, kiln_log_of_parts(parts.x, parts.y) + correction);
    return select(y, x, kiln_is_zero(x) || kiln_is_nan(x));
}

fn kiln_sqrt(x: f32) -> f32 {
    let y = select(sqrt(x), kiln_nan(x), kiln_is_negative(x));
    return select(y, x, kiln_is_zero(x) || kiln_magnitude(x) > 0x7f800000u || kiln_bits(x) == 0x7f800000u);
}

fn kiln_rsqrt(x: f32) -> f32 {
    var y = select(inverseSqrt(x), kiln_nan(x), kiln_is_negative(x));
    y = select(y, 0.0, kiln_bits(x) == 0x7f800000u);
    y = select(y, kiln_copy_sign(kiln_inf(x), x), kiln_is_zero(x));
    return select(y, x, kiln_is_nan(x));
}

fn kiln_sine(x: f32, turn: i32) -> f32 {
    let whole = kiln_nearest(x * 0.636619772);
    let n = f32(whole);
    var r = x - n * 1.5703125;
    r = r - n * 4.837512969970703125e-4;
    r = clamp(r - n * 7.54978995489188216e-8, -0.8, 0.8);
    let z = r * r;
    let sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
    let cosine = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    let quadrant = whole + turn;
    let y = select(cosine, sine, (quadrant & 1) == 0);
    let signed = bitcast<f32>(bitcast<u32>(y) ^ (u32(quadrant & 2) << 30u));
    return select(signed, kiln_nan(x), kiln_magnitude(x) >= 0x7f800000u);
}

fn kiln_sin(x: f32) -> f32 { return select(kiln_sine(x, 0), x, kiln_is_zero(x)); }
fn kiln_cos(x: f32) -> f32 { return kiln_sine(x, 1); }

fn kiln_tanh(x: f32) -> f32 {
    let c = 2.0 * min(abs(x), 10.0);
    let whole = kiln_nearest(c * KILN_LOG2_E);
    let n = f32(whole);
    let r = (c - n * KILN_LN2_HIGH) - n * KILN_LN2_LOW;
    let power = kiln_power_of_two(whole);
    let grown = power * (kiln_exp_tail(r) * (r * r) + r) + (power - 1.0);
    let y = kiln_copy_sign(grown / (grown + 2.0), x);
    return select(y, x, kiln_is_nan(x));
}

// The arctangent of a quotient in 0..=1.
fn kiln_atan_ratio(numerator: f32, denominator: f32) -> f32 {
    let far = numerator > 0.414213562 * denominator;
    let top = select(numerator, numerator - denominator, far);
    let bottom = select(denominator, numerator + denominator, far);
    let q = top / bottom;
    let z = q * q;
    let p = ((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z - 3.33329491539e-1;
    let y = p * z * q + q;
    return select(y, y + 0.785398163, far);
}

fn kiln_atan(x: f32) -> f32 {
    let magnitude = abs(x);
    let large = magnitude > 1.0;
    let ratio = select(magnitude, 1.0 / magnitude, large);
    let inside = kiln_atan_ratio(select(ratio, 0.0, kiln_is_inf(x)), 1.0);
    let y = kiln_copy_sign(select(inside, KILN_HALF_PI - inside, large || kiln_is_inf(x)), x);
    return select(y, x, kiln_is_nan(x) || kiln_is_zero(x));
}

// The angle of the point (x, y).
fn kiln_atan2(y: f32, x: f32) -> f32 {
    let steep = kiln_magnitude(y) > kiln_magnitude(x);
    let tall = select(abs(x), abs(y), steep);
    let small = select(abs(y), abs(x), steep);
    let both = kiln_is_inf(x) && kiln_is_inf(y);
    let one = both || kiln_is_zero(tall);
    let quarter = select(1.0, 0.25, tall > 1e37);
    let endless = kiln_is_inf(tall) && !both;
    let low = select(select(small * quarter, 0.0, endless), 1.0, both);
    let high = select(tall * quarter, 1.0, one || endless);
    var angle = kiln_atan_ratio(low, high);
    angle = select(angle, KILN_HALF_PI - angle, steep);
    angle = select(angle, 3.14159265 - angle, kiln_is_negative(x));
    return select(kiln_copy_sign(angle, y), kiln_nan(x), kiln_is_nan(x) || kiln_is_nan(y));
}

fn kiln_erf(x: f32) -> f32 {
    let s = x * x;
    var p = -5.96761703e-4;
    p = p * s + 4.99119423e-3;
    p = p * s - 2.67681349e-2;
    p = p * s + 1.12819925e-1;
    p = p * s - 3.76125336e-1;
    p = p * s + 1.28379166e-1;
    let near = p * x + x;
    let t = min(abs(x), 4.0);
    let square = t * t;
    p = (-1.72853470e-5 * t + 3.83197126e-4) * square + (-3.88396438e-3 * t + 2.42546219e-2);
    p = p * t - 1.06777877e-1;
    p = p * t - 6.34846687e-1;
    p = p * t - 1.28717512e-1;
    let far = kiln_copy_sign(1.0 - kiln_exp(p * t - t), x);
    let y = select(near, far, abs(x) > 0.927734375 || kiln_is_inf(x));
    return select(y, x, kiln_is_nan(x));
}

fn kiln_sigmoid(x: f32) -> f32 {
    let e = kiln_exp(-abs(x));
    return select(select(1.0, e, kiln_is_negative(x)) / (1.0 + e), x, kiln_is_nan(x));
}

fn kiln_sign(x: f32) -> f32 {
    return select(kiln_copy_sign(1.0, x), x, kiln_is_zero(x) || kiln_is_nan(x));
}

fn kiln_max(a: f32, b: f32) -> f32 { return select(b, a, (a > b && !kiln_is_nan(b)) || kiln_is_nan(a)); }
fn kiln_min(a: f32, b: f32) -> f32 { return select(b, a, (a < b && !kiln_is_nan(b)) || kiln_is_nan(a)); }

// C's fmod of finite a and finite, non-zero b, exact: long division of the mantissas.
fn kiln_fmod(a: f32, b: f32) -> f32 {
    let sign = kiln_bits(a) & 0x80000000u;
    var x = kiln_magnitude(a);
    var y = kiln_magnitude(b);
    if x < y { return a; }
    var exponent = i32(x >> 23u);
    var divisor = i32(y >> 23u);
    x = select(x & 0x007fffffu, (x & 0x007fffffu) | 0x00800000u, exponent != 0);
    y = select(y & 0x007fffffu, (y & 0x007fffffu) | 0x00800000u, divisor != 0);
    exponent = max(exponent, 1);
    divisor = max(divisor, 1);
    while exponent > divisor {
        if x >= y { x = x - y; }
        x = x << 1u;
        exponent = exponent - 1;
    }
    if x >= y { x = x - y; }
    if x == 0u { return kiln_from_bits(a, sign); }
    let shift = min(i32(countLeadingZeros(x)) - 8, divisor - 1);
    x = x << u32(max(shift, 0));
    let normal = (x & 0x007fffffu) | (u32(divisor - shift) << 23u);
    return kiln_from_bits(a, select(x, normal, x >= 0x00800000u) | sign);
}

// The remainder with the sign of b.
fn kiln_rem(a: f32, b: f32) -> f32 {
    if kiln_magnitude(a) >= 0x7f800000u || kiln_is_nan(b) || kiln_is_zero(b) { return kiln_nan(a); }
    var r = a;
    if !kiln_is_inf(b) { r = kiln_fmod(a, b); }
    if kiln_is_zero(r) { return kiln_copy_sign(r, b); }
    return select(r, r + b, kiln_is_negative(r) != kiln_is_negative(b));
}

// log2 of a positive, finite number as a sum of two floats, the first of 12 bits.
fn kiln_log2_split(x: f32) -> vec2<f32> {
    let small = kiln_bits(x) < 0x00800000u;
    let bits = kiln_bits(select(x, x * 16777216.0, small));
    let fraction = bits & 0x007fffffu;
    let upper = fraction > 0x001cc471u && fraction < 0x005db3d7u;
    let top = fraction >= 0x005db3d7u;
    let n = f32(i32(bits >> 23u) - 127 - select(0, 24, small) + select(0, 1, top));
    let ax = bitcast<f32>((fraction | 0x3f800000u) - select(0u, 0x00800000u, top));
    let center = select(1.0, 1.5, upper);
    let u = ax - center;
    let v = 1.0 / (ax + center);
    let s = u * v;
    let s_high = kiln_mask(s, 0xfffff000u);
    let t_bits = (((kiln_bits(ax) >> 1u) & 0xfffff000u) | 0x20000000u) + 0x00400000u + select(0u, 0x00200000u, upper);
    let t_top = bitcast<f32>(t_bits);
    let t_rest = ax - (t_top - center);
    let s_low = v * ((u - s_high * t_top) - s_high * t_rest);
    let s2 = s * s;
    var series = 0.333333343 + s2 * (0.272728115 + s2 * 0.230660751);
    series = s2 * s2 * (0.600000024 + s2 * (0.428571433 + s2 * series)) + s_low * (s_high + s);
    let square = s_high * s_high;
    let t_high = kiln_mask(3.0 + square + series, 0xfffff000u);
    let t_low = series - ((t_high - 3.0) - square);
    let product = s_high * t_high;
    let rest = s_low * t_high + t_low * s;
    let p_high = kiln_mask(product + rest, 0xfffff000u);
    let p_low = rest - (p_high - product);
    let z_high = 0.9619140625 * p_high;
    let z_low = -1.17368574e-4 * p_high + p_low * 0.96179670095 + select(0.0, 1.56322085e-6, upper);
    let center_log = select(0.0, 0.584960938, upper);
    let high = kiln_mask(((z_high + z_low) + center_log) + n, 0xfffff000u);
    return vec2<f32>(high, z_low - (((high - n) - center_log) - z_high));
}

fn kiln_pow_inside(magnitude: f32, b: f32) -> f32 {
    let log = kiln_log2_split(magnitude);
    let y = clamp(b, -1e10, 1e10);
    let y_high = kiln_mask(y, 0xfffff000u);
    var low = (y - y_high) * log.x + y * log.y;
    var high = y_high * log.x;
    if abs(high + low) > 200.0 {
        high = clamp(high, -200.0, 200.0);
        low = 0.0;
    }
    let whole = kiln_nearest(high + low);
    let r = ((high - f32(whole)) + low) * 0.693147181;
    return kiln_scale(kiln_exp_tail(r) * (r * r) + r + 1.0, whole);
}

// a to the power of b, as C's powf.
fn kiln_pow(a: f32, b: f32) -> f32 {
    if a == 1.0 || kiln_is_zero(b) { return 1.0; }
    if kiln_is_nan(a) || kiln_is_nan(b) { return kiln_nan(a); }
    let grows = !kiln_is_negative(b);
    let whole_power = kiln_is_inf(b) || trunc(b) == b;
    let odd = whole_power && abs(b) < 16777216.0 && trunc(b * 0.5) != b * 0.5;
    var result = 0.0;
    if kiln_is_zero(a) {
        result = select(kiln_inf(a), 0.0, grows);
    } else if kiln_is_inf(a) {
        result = select(0.0, kiln_inf(a), grows);
    } else if kiln_is_negative(a) && !whole_power {
        result = kiln_nan(a);
    } else {
        result = kiln_pow_inside(abs(a), b);
    }
    return select(result, -result, kiln_is_negative(a) && odd);
}

fn kiln_div_i32(a: i32, b: i32) -> i32 {
    if b == 0 { return 0; }
    if b == -1 { return 0 - a; }
    let rest = a % b;
    return a / b - select(0, 1, rest != 0 && (rest < 0) != (b < 0));
}

fn kiln_rem_i32(a: i32, b: i32) -> i32 {
    if b == 0 || b == -1 { return 0; }
    let rest = a % b;
    return select(rest, rest + b, rest != 0 && (rest < 0) != (b < 0));
}

fn kiln_div_u32(a: u32, b: u32) -> u32 { return select(a / max(b, 1u), 0u, b == 0u); }
fn kiln_rem_u32(a: u32, b: u32) -> u32 { return select(a % max(b, 1u), 0u, b == 0u); }

fn kiln_pow_u32(a: u32, b: u32) -> u32 {
    var result = 1u;
    var base = a;
    var rest = b;
    while rest != 0u {
        if (rest & 1u) != 0u { result = result * base; }
        base = base * base;
        rest = rest >> 1u;
    }
    return result;
}

fn kiln_pow_i32(a: i32, b: i32) -> i32 {
    if b >= 0 { return bitcast<i32>(kiln_pow_u32(bitcast<u32>(a), u32(b))); }
    return select(select(0, 1 - 2 * (b & 1), a == -1), 1, a == 1);
}

// The nearest f16 value, halves to even, subnormals and overflow as IEEE.
fn kiln_round_f16(x: f32) -> f32 {
    let magnitude = kiln_magnitude(x);
    let sign = kiln_bits(x) & 0x80000000u;
    if magnitude >= 0x7f800000u { return x; }
    if magnitude >= 0x477ff000u { return kiln_from_bits(x, sign | 0x7f800000u); }
    // Below 2^-14 the last place is 2^-24, as that of a sum with 0.5. Its count is an integer, because Mesa folds a sum from
    // which 0.5 is taken again to x.
    if magnitude < 0x38800000u {
        return kiln_copy_sign(f32(kiln_bits(abs(x) + 0.5) - 0x3f000000u) * 5.9604644775390625e-8, x);
    }
    return bitcast<f32>(((magnitude + 0x0fffu + ((magnitude >> 13u) & 1u)) & 0xffffe000u) | sign);
}

// The nearest bf16 value, halves to even.
fn kiln_round_bf16(x: f32) -> f32 {
    let bits = kiln_bits(x);
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u;
    return kiln_from_bits(x, select(rounded, bits | 0x00400000u, kiln_is_nan(x)));
}

// Float to integer, truncating and saturating; NaN gives 0.
fn kiln_f32_to_i32(x: f32) -> i32 {
    if kiln_is_nan(x) { return 0; }
    if x >= 2147483648.0 { return 2147483647; }
    if x <= -2147483648.0 { return -2147483647 - 1; }
    return i32(x);
}

fn kiln_f32_to_u32(x: f32) -> u32 {
    if kiln_is_nan(x) || x <= 0.0 { return 0u; }
    if x >= 4294967296.0 { return 4294967295u; }
    return u32(x);
}

fn kiln_rotate(x: u32, distance: u32) -> u32 { return (x << distance) | (x >> (32u - distance)); }

fn kiln_threefry_rounds(x: vec2<u32>, distances: vec4<u32>) -> vec2<u32> {
    var a = x.x;
    var b = x.y;
    a = a + b; b = kiln_rotate(b, distances.x) ^ a;
    a = a + b; b = kiln_rotate(b, distances.y) ^ a;
    a = a + b; b = kiln_rotate(b, distances.z) ^ a;
    a = a + b; b = kiln_rotate(b, distances.w) ^ a;
    return vec2<u32>(a, b);
}

// Threefry2x32 of 20 rounds.
fn kiln_threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let first = vec4<u32>(13u, 15u, 26u, 6u);
    let second = vec4<u32>(17u, 29u, 16u, 24u);
    let third = key.x ^ key.y ^ 0x1bd11bdau;
    var x = counter + key;
    x = kiln_threefry_rounds(x, first) + vec2<u32>(key.y, third + 1u);
    x = kiln_threefry_rounds(x, second) + vec2<u32>(third, key.x + 2u);
    x = kiln_threefry_rounds(x, first) + vec2<u32>(key.x, key.y + 3u);
    x = kiln_threefry_rounds(x, second) + vec2<u32>(key.y, third + 4u);
    return kiln_threefry_rounds(x, first) + vec2<u32>(third, key.x + 5u);
}
