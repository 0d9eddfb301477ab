//! Type names as people write them against type names as the server writes them
//! (`format_type()`; the aliases are those of gram.y, manual chapter "Data Types").

/// The name as `format_type()` would write it, lower case, single spaces.
///
/// # Examples
/// ```
/// use indexpilot_genome::type_name::canonical;
/// assert_eq!(canonical(" VARCHAR ( 50 ) []"), "character varying(50)[]");
/// assert_eq!(canonical("timestamptz(3)"), "timestamp(3) with time zone");
/// ```
pub fn canonical(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let (element, dimensions) = split_arrays(&lower);
    let (base, modifier, rest) = split_modifier(element);
    let words = [base, rest]
        .into_iter()
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ");
    // Where the server puts the modifier in the middle.
    let (head, tail) = match words.as_str() {
        "int" | "int4" | "serial" | "serial4" => ("integer", ""),
        "int2" | "smallserial" | "serial2" => ("smallint", ""),
        "int8" | "bigserial" | "serial8" => ("bigint", ""),
        "bool" => ("boolean", ""),
        "float8" | "float" => ("double precision", ""),
        "float4" => ("real", ""),
        "decimal" | "dec" => ("numeric", ""),
        "varchar" | "char varying" => ("character varying", ""),
        "char" | "bpchar" => ("character", ""),
        "varbit" => ("bit varying", ""),
        "timestamp" | "timestamp without time zone" => ("timestamp", " without time zone"),
        "timestamptz" | "timestamp with time zone" => ("timestamp", " with time zone"),
        "time" | "time without time zone" => ("time", " without time zone"),
        "timetz" | "time with time zone" => ("time", " with time zone"),
        other => (other, ""),
    };
    let arrays = "[]".repeat(dimensions.min(1));
    format!("{head}{modifier}{tail}{arrays}")
}

/// Whether a described type is the type of the column; a described type without modifier
/// matches any modifier.
pub fn matches(described: &str, column: &str) -> bool {
    let (wanted, is) = (canonical(described), canonical(column));
    wanted == is || wanted == without_modifier(&is)
}

fn without_modifier(name: &str) -> String {
    match (name.find('('), name.find(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", &name[..open], &name[close + 1..])
        }
        _ => name.to_string(),
    }
}

/// Cuts `[]`, `[3]` and ` array` from the end; gives how many there were.
fn split_arrays(name: &str) -> (&str, usize) {
    let mut rest = name.trim_end();
    let mut dimensions = 0;
    loop {
        if let Some(cut) = rest.strip_suffix(" array") {
            rest = cut.trim_end();
        } else if let Some(open) = rest.ends_with(']').then(|| rest.rfind('[')).flatten() {
            rest = rest[..open].trim_end();
        } else {
            return (rest, dimensions);
        }
        dimensions += 1;
    }
}

/// Base, `(n)` without blanks, and what stands behind it.
fn split_modifier(name: &str) -> (&str, String, &str) {
    match (name.find('('), name.find(')')) {
        (Some(open), Some(close)) if open < close => (
            &name[..open],
            name[open..=close].split_whitespace().collect(),
            &name[close + 1..],
        ),
        _ => (name, String::new(), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_the_servers() {
        for (written, server) in [
            ("INT", "integer"),
            ("bigserial", "bigint"),
            ("numeric(10, 2)", "numeric(10,2)"),
            ("TIMESTAMP", "timestamp without time zone"),
            (
                "timestamp (3) with time zone",
                "timestamp(3) with time zone",
            ),
            ("text ARRAY", "text[]"),
            ("int[3][3]", "integer[]"),
            ("char(2)", "character(2)"),
            ("crm.mood", "crm.mood"),
            ("double  precision", "double precision"),
        ] {
            assert_eq!(canonical(written), server);
            assert_eq!(canonical(server), server, "a server's name stays");
        }
    }

    #[test]
    fn a_missing_modifier_matches_any() {
        assert!(matches("varchar", "character varying(50)"));
        assert!(matches("timestamptz", "timestamp(3) with time zone"));
        assert!(!matches("varchar(20)", "character varying(50)"));
        assert!(!matches("int", "bigint"));
        assert!(!matches("text", "text[]"));
    }
}
