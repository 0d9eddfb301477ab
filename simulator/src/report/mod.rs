//! The report: a summary for the terminal and one self-contained HTML page.
pub mod html;
mod outcome;
pub mod plot;
pub mod terminal;

#[cfg(test)]
pub mod sample;

/// A time in microseconds for people: three significant digits with unit.
pub fn time(microseconds: f64) -> String {
    match microseconds {
        t if t < 1_000.0 => format!("{} µs", significant(t)),
        t if t < 1_000_000.0 => format!("{} ms", significant(t / 1e3)),
        t => format!("{} s", significant(t / 1e6)),
    }
}

/// Bytes for people, decimal units.
pub fn bytes(n: f64) -> String {
    match n.abs() {
        a if a < 1e3 => format!("{n:.0} B"),
        a if a < 1e6 => format!("{} kB", significant(n / 1e3)),
        a if a < 1e9 => format!("{} MB", significant(n / 1e6)),
        _ => format!("{} GB", significant(n / 1e9)),
    }
}

/// Three significant digits.
pub fn significant(x: f64) -> String {
    match x.abs() {
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// A share (0–1) as a percentage.
pub fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0))
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_for_people() {
        assert_eq!(super::time(0.5), "0.50 µs");
        assert_eq!(super::time(1_234.0), "1.23 ms");
        assert_eq!(super::time(12_345_678.0), "12.3 s");
        assert_eq!(super::bytes(242_000_000.0), "242 MB");
        assert_eq!(super::percent(0.0084), "0.84 %");
    }
}
