// Reports of failed checks. Words of `reports`: a count; 256 records of site, value and position; then 767 words of
// which each holds the complement of the smallest position that some site has reported.
// Only a position below all earlier ones of its site is recorded, so that the smallest one is seldom lost in a crowd.
fn kiln_report(site: u32, value: i32, position: i32) {
    let rank = ~u32(position);
    let before = atomicMax(&reports[769u + site % 767u], rank);
    if (rank > before) {
        let slot = atomicAdd(&reports[0], 1u);
        if (slot < 256u) {
            atomicStore(&reports[slot * 3u + 1u], site);
            atomicStore(&reports[slot * 3u + 2u], u32(value));
            atomicStore(&reports[slot * 3u + 3u], u32(position));
        }
    }
}
