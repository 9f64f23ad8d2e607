//! Access to entries that exist by the loop's invariants.

/// The value of an option that is never `None` unless the loop has a bug. A debug build then panics. A release build logs an
/// error and returns early, because one broken stream is better than the end of all.
macro_rules! present {
    ($option:expr, $what:literal) => {
        match $option {
            Some(value) => value,
            None => {
                debug_assert!(false, concat!("a broadcast loop misses ", $what));
                tracing::error!(concat!("a broadcast loop misses ", $what, "; please report this bug"));
                return Default::default();
            }
        }
    };
}
pub(super) use present;
