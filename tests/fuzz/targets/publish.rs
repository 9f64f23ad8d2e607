#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| alertd::fuzzing::run("publish", input));
