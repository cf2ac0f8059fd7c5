// The order of floats as integers: both zeros alike, every NaN last.
fn rising(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
    let merged = select(bits, 0u, bits == 0x80000000u);
    return select(merged ^ 0x80000000u, ~merged, (merged >> 31u) == 1u);
}
