//! The parts of a `multipart/form-data` body (RFC 7578), as `curl -F` and HTTP libraries send it.
//!
//! Used for the forms that are published. Lenient: what is no part is passed over.

/// One field of the form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    pub name: String,
    pub content: &'b [u8],
    /// Whether it was given as a file.
    pub is_file: bool,
}

/// The parts with a name, in their order.
#[must_use]
pub(crate) fn parts<'b>(body: &'b [u8], boundary: &str) -> Vec<Part<'b>> {
    let delimiter = format!("--{boundary}");
    let mut found = Vec::new();
    let Some((_, mut rest)) = split(body, delimiter.as_bytes()) else { return found };
    while !rest.starts_with(b"--") {
        // A body that ends without the last delimiter has its last part all the same.
        let (part, after) = split(rest, delimiter.as_bytes()).unwrap_or((rest, b"--"));
        found.extend(read(part));
        rest = after;
    }
    found
}

/// What is before and behind the first occurrence.
fn split<'b>(bytes: &'b [u8], separator: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

fn read(part: &[u8]) -> Option<Part<'_>> {
    let (head, content) = split(part, b"\r\n\r\n").or_else(|| split(part, b"\n\n"))?;
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    let head = String::from_utf8_lossy(head);
    let is_disposition = |name: &str| name.trim().eq_ignore_ascii_case("content-disposition");
    let (_, disposition) =
        head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| is_disposition(name))?;
    let parameter = |wanted: &str| {
        let pairs = disposition.split(';').filter_map(|pair| pair.split_once('='));
        let found = pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let is_file = ["filename", "filename*"].iter().any(|name| parameter(name).is_some());
    Some(Part { name: parameter("name")?, content, is_file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_part_is_found_with_its_exact_content() {
        let body = "before\r\n--B\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\ntwo\r\nlines\r\n--B\r\n\
                    content-type: text/plain\r\nContent-disposition: form-data; name=log; filename=\"a;b\"\r\n\r\n--b\r\n--B\r\n\
                    X: y\r\n\r\nnameless\r\n--B--\r\nbehind";
        let part = |name: &str, content: &'static str, is_file| Part {
            name: name.into(),
            content: content.as_bytes(),
            is_file,
        };
        let expected = [part("message", "two\r\nlines", false), part("log", "--b", true)];
        assert_eq!(parts(body.as_bytes(), "B"), expected);
        let unix = "--B\nContent-Disposition: form-data; name=\"message\"\n\nx\n--B--\n";
        assert_eq!(parts(unix.as_bytes(), "B"), [part("message", "x", false)]);
        let cut = "--B\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nx";
        assert_eq!(parts(cut.as_bytes(), "B"), [part("message", "x", false)]);
    }

    #[test]
    fn whatever_is_no_form_has_no_parts() {
        for body in ["", "--", "--B", "--B--", "--B\r\n", "x", "--B\r\n\r\n--B--", "--B--B--B"] {
            assert_eq!(parts(body.as_bytes(), "B"), [], "{body:?}");
        }
        assert_eq!(parts(b"----", ""), []);
    }
}
