//! FarmHash's `Fingerprint64` (Geoff Pike, Google, 2014; the variant `farmhashna`), the hash of `tf.strings` and of Keras'
//! hashing layers.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// Eight bytes from a position on, little end first.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Four bytes from a position on, little end first.
fn half_word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

fn mix(u: u64, v: u64, multiplier: u64) -> u64 {
    let a = shift_mix((u ^ v).wrapping_mul(multiplier));
    shift_mix((v ^ a).wrapping_mul(multiplier)).wrapping_mul(multiplier)
}

fn to_16(s: &[u8]) -> u64 {
    let length = s.len() as u64;
    let multiplier = K2.wrapping_add(length * 2);
    if s.len() >= 8 {
        let a = word(s, 0).wrapping_add(K2);
        let b = word(s, s.len() - 8);
        let c = b.rotate_right(37).wrapping_mul(multiplier).wrapping_add(a);
        let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(multiplier);
        return mix(c, d, multiplier);
    }
    if s.len() >= 4 {
        let a = half_word(s, 0);
        return mix(length + (a << 3), half_word(s, s.len() - 4), multiplier);
    }
    if s.is_empty() {
        return K2;
    }
    let [first, middle, last] = [0, s.len() / 2, s.len() - 1].map(|i| u64::from(s[i]));
    let y = first + (middle << 8);
    let z = length + (last << 2);
    shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
}

fn from_17_to_32(s: &[u8]) -> u64 {
    let multiplier = K2.wrapping_add(s.len() as u64 * 2);
    let a = word(s, 0).wrapping_mul(K1);
    let b = word(s, 8);
    let c = word(s, s.len() - 8).wrapping_mul(multiplier);
    let d = word(s, s.len() - 16).wrapping_mul(K2);
    let u = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let v = a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c);
    mix(u, v, multiplier)
}

fn from_33_to_64(s: &[u8]) -> u64 {
    let end = s.len();
    let multiplier = K2.wrapping_add(end as u64 * 2);
    let a = word(s, 0).wrapping_mul(K2);
    let b = word(s, 8);
    let c = word(s, end - 8).wrapping_mul(multiplier);
    let d = word(s, end - 16).wrapping_mul(K2);
    let y = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let z = mix(y, a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c), multiplier);
    let e = word(s, 16).wrapping_mul(multiplier);
    let f = word(s, 24);
    let g = y.wrapping_add(word(s, end - 32)).wrapping_mul(multiplier);
    let h = z.wrapping_add(word(s, end - 24)).wrapping_mul(multiplier);
    let u = e.wrapping_add(f).rotate_right(43).wrapping_add(g.rotate_right(30)).wrapping_add(h);
    let v = e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g);
    mix(u, v, multiplier)
}

/// Thirty-two bytes from a position on, into a pair.
fn weak(s: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|offset| word(s, at + offset));
    let a = a.wrapping_add(w);
    let b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    let a = a.wrapping_add(x).wrapping_add(y);
    let b = b.wrapping_add(a.rotate_right(44));
    (a.wrapping_add(z), b.wrapping_add(c))
}

/// The state that long strings go through, 64 bytes a round.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// One round; the last one weighs two of its terms by 9 (`weight`).
    fn round(&mut self, s: &[u8], at: usize, multiplier: u64, weight: u64) {
        let State { x, y, z, v, w } = self;
        *x = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(word(s, at + 8));
        *x = x.rotate_right(37).wrapping_mul(multiplier) ^ w.1.wrapping_mul(weight);
        *y = y.wrapping_add(v.1).wrapping_add(word(s, at + 48)).rotate_right(42).wrapping_mul(multiplier);
        *y = y.wrapping_add(v.0.wrapping_mul(weight)).wrapping_add(word(s, at + 40));
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(multiplier);
        *v = weak(s, at, v.1.wrapping_mul(multiplier), x.wrapping_add(w.0));
        *w = weak(s, at + 32, z.wrapping_add(w.1), y.wrapping_add(word(s, at + 16)));
        std::mem::swap(z, x);
    }
}

fn over_64(s: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut state = State {
        x: SEED.wrapping_mul(K2).wrapping_add(word(s, 0)),
        y,
        z: shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2),
        v: (0, 0),
        w: (0, 0),
    };
    let rest = (s.len() - 1) % 64;
    let rounds = (s.len() - 1) / 64;
    (0..rounds).for_each(|round| state.round(s, round * 64, K1, 1));
    let multiplier = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add(rest as u64);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.round(s, s.len() - 64, multiplier, 9);
    let State { x, y, z, v, w } = state;
    let u = mix(v.0, w.0, multiplier).wrapping_add(shift_mix(y).wrapping_mul(K0)).wrapping_add(z);
    mix(u, mix(v.1, w.1, multiplier).wrapping_add(x), multiplier)
}

/// The 64-bit fingerprint of bytes: the same on every machine and in every version.
///
/// ```
/// use kiln_graph::text::fingerprint64;
/// assert_eq!(fingerprint64(b""), 0x9ae1_6a3b_2f90_404f);
/// ```
pub fn fingerprint64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0..=16 => to_16(bytes),
        17..=32 => from_17_to_32(bytes),
        33..=64 => from_33_to_64(bytes),
        _ => over_64(bytes),
    }
}

/// Two fingerprints as one, as TensorFlow's `FingerprintCat64`.
pub(crate) fn combined(first: u64, second: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mut result = first ^ MULTIPLIER;
    result ^= shift_mix(second.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    result = shift_mix(result.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    shift_mix(result)
}
