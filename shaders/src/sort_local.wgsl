// Short lines: the pairs stand in workgroup memory.
var<workgroup> ranks: array<u32, {{capacity}}>;
var<workgroup> places: array<u32, {{capacity}}>;

fn place_first(base: u32, i: u32) {
    ranks[i] = rank(key(base + i));
    places[i] = i;
}

fn place_at(base: u32, i: u32) -> u32 { return places[i]; }

fn exchange(base: u32, lower: u32, upper: u32) {
    let ranks_here = vec2<u32>(ranks[lower], ranks[upper]);
    let places_here = vec2<u32>(places[lower], places[upper]);
    if (ranks_here.x > ranks_here.y || (ranks_here.x == ranks_here.y && places_here.x > places_here.y)) {
        ranks[lower] = ranks_here.y;
        ranks[upper] = ranks_here.x;
        places[lower] = places_here.y;
        places[upper] = places_here.x;
    }
}
