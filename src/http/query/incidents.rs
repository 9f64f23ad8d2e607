//! The query of a list of incidents.

use super::{Parameters, limit, patterns_or};
use crate::alert::{Filter, Pattern};
use crate::http::error::HttpError;
use crate::incident::{Query, Wanted};

/// Reads the whole query.
///
/// # Errors
/// [`HttpError::Invalid`] with the parameter's name.
pub(crate) fn read(mut parameters: Parameters) -> Result<Query, HttpError> {
    let patterns = patterns_or(Pattern::All, None, parameters.all("topic")?)?;
    let level = parameters.level()?.unwrap_or_default();
    let wanted = |text: String| {
        Wanted::parse(&text).ok_or_else(|| HttpError::invalid("state", format!("takes {}", Wanted::NAMES)))
    };
    let wanted = parameters.one("state")?.map(wanted).transpose()?.unwrap_or_default();
    let after = parameters.one("after")?.map(|text| text.parse().map_err(|e| HttpError::invalid("after", e)));
    let (before, limit) = (after.transpose()?, limit(&mut parameters)?);
    parameters.finish("topic, state, level, limit, after")?;
    Ok(Query { filter: Filter::new(patterns, level), wanted, before, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Id, Level};

    #[test]
    fn each_parameter_is_read_or_refused_by_name() {
        let read = |query: &str| read(Parameters::parse(Some(query)));
        let all = read("").unwrap();
        assert_eq!((all.filter.patterns(), all.wanted), (&[Pattern::All][..], Wanted::Unresolved));
        assert_eq!((all.before, all.limit), (None, 100));
        let some = read("topic=ops.*&topic=web&state=all&level=error&limit=5&after=7-1").unwrap();
        assert_eq!((some.filter.patterns().len(), some.filter.level(), some.limit), (2, Level::Error, 5));
        assert_eq!((some.wanted, some.before), (Wanted::All, Some(Id { ms: 7, seq: 1 })));
        for (query, words) in [
            ("state=firing", "state: takes unresolved, open, acknowledged, resolved or all"),
            ("limit=0", "limit: takes 1 to 1000"),
            ("after=x", "after: an id has the form"),
            ("topic=a%20b", "topic: "),
            ("since=all", "since: is not a parameter of this path"),
        ] {
            let said = read(query).unwrap_err().to_string();
            assert!(said.starts_with(words), "{query}: {said}");
        }
    }
}
