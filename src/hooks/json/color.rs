//! Colours of chat messages as levels: red is an error, orange and yellow a warning.

use crate::alert::Level;

/// The level of a colour, 0xRRGGBB; none for greys, which mean nothing.
pub(super) fn level(rgb: u32) -> Option<Level> {
    let [_, red, green, blue] = rgb.to_be_bytes().map(i32::from);
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most - least < 60 {
        return None;
    }
    if red < most {
        return Some(Level::Info);
    }
    // Between red and yellow green rises, between red and magenta blue does.
    Some(match (green - least) * 100 / (most - least) {
        _ if blue - least > (most - least) / 2 => Level::Info,
        0..=35 => Level::Error,
        _ => Level::Warn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_colours_are_serious() {
        for (rgb, expected) in [
            (0x00e7_4c3c, Some(Level::Error)),
            (0x00ff_0000, Some(Level::Error)),
            (0x00a3_0200, Some(Level::Error)),
            (0x00da_a038, Some(Level::Warn)),
            (0x00ff_a500, Some(Level::Warn)),
            (0x00f1_c40f, Some(Level::Warn)),
            (0x002e_cc71, Some(Level::Info)),
            (0x0036_a64f, Some(Level::Info)),
            (0x0034_98db, Some(Level::Info)),
            (0x009b_59b6, Some(Level::Info)),
            (0x0080_8080, None),
            (0, None),
        ] {
            assert_eq!(level(rgb), expected, "{rgb:06x}");
        }
    }
}
