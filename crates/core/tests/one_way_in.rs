//! Law 1, in types: going round the pipeline does not compile, and neither do the other mistakes that the types are there
//! to catch. The messages are what an author sees.

#[test]
fn the_ways_round_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
