//! "Did you mean": the nearest of the names that exist, where one is near enough.

use strsim::damerau_levenshtein;

/// The candidate that `wrong` was most probably meant to be. A wrong case or a missing
/// plural always counts; otherwise at most a third of the characters may differ (as the
/// server does for column names, `updateFuzzyAttrMatchState` in parse_relation.c, which
/// allows half), and two at the least. Among equals the first wins.
///
/// # Examples
/// ```
/// use indexpilot_genome::did_you_mean;
/// assert_eq!(did_you_mean("emial", ["name", "email"]), Some("email"));
/// assert_eq!(did_you_mean("colour", ["name", "email"]), None);
/// ```
pub fn did_you_mean<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = wrong.to_lowercase();
    let length = folded.chars().count();
    let limit = (length / 3).max(2).min(length.saturating_sub(1));
    candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase();
            (damerau_levenshtein(&folded, &other), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The suggestion as the end of a message: ` (did you mean "email"?)`, or nothing.
pub fn hint<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(wrong, candidates)
        .map_or_else(String::new, |name| format!(" (did you mean \"{name}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_only() {
        let names = ["tenant_id", "email", "created_at", "Name"];
        assert_eq!(did_you_mean("tenantid", names), Some("tenant_id"));
        assert_eq!(did_you_mean("name", names), Some("Name"));
        assert_eq!(did_you_mean("craeted_at", names), Some("created_at"));
        assert_eq!(did_you_mean("x", names), None);
        assert_eq!(did_you_mean("", names), None);
        assert_eq!(did_you_mean("telephone", names), None);
    }
}
