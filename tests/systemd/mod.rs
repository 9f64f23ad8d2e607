//! The Debian package on real machines: booted systems of both releases, made by `tests/systemd/box`. Each test runs on
//! each release, on a machine of its own.

mod audit;
mod autopkgtest;
mod carried;
mod certificates;
mod configuration;
mod conversion;
mod doctor;
mod documents;
mod failed_start;
mod failed_start_causes;
mod failed_units;
mod fleet;
mod forward;
mod hooks;
mod installed;
mod instances;
mod journal;
mod load;
mod machine;
mod package;
mod readme;
mod recipes;
mod repository;
mod streams;
mod takeover;
mod unit_incidents;
mod units;
mod upgrade;
mod watchdog;

/// Makes of each function a test on each release.
macro_rules! on_each_release {
    ($($(#[$meta:meta])* fn $name:ident($machine:ident: &Machine) $body:block)+) => {
        $(
            mod $name {
                use super::*;

                $(#[$meta])*
                fn on($machine: &Machine) $body

                #[test]
                fn debian_12() {
                    Machine::with("bookworm", on);
                }

                #[test]
                fn debian_13() {
                    Machine::with("trixie", on);
                }
            }
        )+
    };
}
use on_each_release;
