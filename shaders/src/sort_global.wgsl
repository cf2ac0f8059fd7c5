// Long lines: the places stand in the output, ranks are computed again.
fn place_first(base: u32, i: u32) { b2[base + i] = i32(i); }

fn place_at(base: u32, i: u32) -> u32 { return u32(b2[base + i]); }

fn exchange(base: u32, lower: u32, upper: u32) {
    let places = vec2<i32>(b2[base + lower], b2[base + upper]);
    let ranks = vec2<u32>(rank(key(base + u32(places.x))), rank(key(base + u32(places.y))));
    if (ranks.x > ranks.y || (ranks.x == ranks.y && places.x > places.y)) {
        b2[base + lower] = places.y;
        b2[base + upper] = places.x;
    }
}
