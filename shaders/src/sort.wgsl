// One workgroup per line: a bitonic network in the form whose exchanges all rise, so that places past the end of the
// line act as padding and are never touched. Pairs of (rank, place) make it stable.
fn rank(value: {{register}}) -> u32 { return {{rank}}; }

fn key(at: u32) -> {{register}} { return {{key}}; }

{{pairs}}
@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let task = group.y * groups.x + group.x;
{{once}}
    if (task >= {{lines}}) { return; }
    let base = task * {{length}};
    for (var i = local; i < {{length}}; i += 256u) { place_first(base, i); }
    {{barrier}}
    for (var size = 2u; size <= {{padded}}; size *= 2u) {
        let half = size / 2u;
        for (var i = local; i < {{padded}} / 2u; i += 256u) {
            let lower = (i / half) * size + i % half;
            let upper = lower ^ (size - 1u);
            if (upper < {{length}}) { exchange(base, lower, upper); }
        }
        {{barrier}}
        for (var distance = size / 4u; distance >= 1u; distance /= 2u) {
            for (var i = local; i < {{padded}} / 2u; i += 256u) {
                let lower = (i / distance) * 2u * distance + i % distance;
                let upper = lower + distance;
                if (upper < {{length}}) { exchange(base, lower, upper); }
            }
            {{barrier}}
        }
    }
    for (var i = local; i < {{length}}; i += 256u) {
        let place = place_at(base, i);
        let value = key(base + place);
        let at = base + i;
        {{store}}
        b2[at] = i32(place);
    }
}
