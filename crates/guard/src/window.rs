//! The maintenance window: daily, on chosen days, in the server's time zone.

use crate::situation::{DAY, MINUTE, Purpose, Refusal, SECOND, Safeguard, Situation};
use indexpilot_model::Intent;
use indexpilot_model::config::MaintenanceWindow;
use indexpilot_model::ports::Timestamp;

/// Whether the window is open at a local time (microseconds since the epoch, local).
fn is_open(window: &MaintenanceWindow, local: i64) -> bool {
    let day = local.div_euclid(DAY);
    let minute = local.rem_euclid(DAY) / MINUTE;
    // 1970-01-01 was a Thursday: bit 3.
    let starts_on = |day: i64| window.days & (1 << (day + 3).rem_euclid(7)) != 0;
    let (start, end) = (i64::from(window.start), i64::from(window.end));
    if start == end {
        starts_on(day)
    } else if start < end {
        starts_on(day) && (start..end).contains(&minute)
    } else {
        (starts_on(day) && minute >= start) || (starts_on(day - 1) && minute < end)
    }
}

/// The first moment at or after `now` at which the window is open; `None` where no day is
/// chosen. `utc_offset` in seconds, taken as constant (a change of summer time within the
/// wait shifts the answer by an hour, and the check is made again then).
pub fn next_opening(
    window: &MaintenanceWindow,
    now: Timestamp,
    utc_offset: i32,
) -> Option<Timestamp> {
    let offset = i64::from(utc_offset) * SECOND;
    let local = now + offset;
    if is_open(window, local) {
        return Some(now);
    }
    // It opens at `start` of a chosen day; with equal ends, at midnight of one.
    let start = if window.start == window.end {
        0
    } else {
        i64::from(window.start)
    };
    let today = local.div_euclid(DAY);
    (today..today + 8)
        .map(|day| day * DAY + start * MINUTE)
        .find(|moment| *moment > local && is_open(window, *moment))
        .map(|moment| moment - offset)
}

pub(crate) fn check(
    intent: &Intent,
    purpose: Purpose,
    situation: &Situation,
) -> Result<(), Refusal> {
    if intent.urgent || purpose == Purpose::Revert {
        return Ok(());
    }
    let window = &situation.config.maintenance_window;
    match next_opening(window, situation.now, situation.utc_offset) {
        Some(moment) if moment <= situation.now => Ok(()),
        Some(moment) => Err(Refusal::until(
            Safeguard::Window,
            format!(
                "the maintenance window ({:02}:{:02}-{:02}:{:02}) is closed",
                window.start / 60,
                window.start % 60,
                window.end / 60,
                window.end % 60
            ),
            moment,
        )),
        None => Err(Refusal::never(
            Safeguard::Window,
            "the maintenance window has no days",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(start: u16, end: u16, days: u8) -> MaintenanceWindow {
        MaintenanceWindow { start, end, days }
    }

    #[test]
    fn spans_midnight_on_the_day_it_starts() {
        // Thursday only, 22:00 to 02:00; the epoch is a Thursday.
        let night = window(22 * 60, 2 * 60, 1 << 3);
        assert!(!is_open(&night, 0));
        assert!(is_open(&night, 23 * 60 * MINUTE));
        assert!(is_open(&night, DAY + 60 * MINUTE));
        assert!(!is_open(&night, DAY + 23 * 60 * MINUTE));
        assert_eq!(next_opening(&night, 0, 0), Some(22 * 60 * MINUTE));
        // Two hours east it opens two hours earlier in UTC.
        assert_eq!(next_opening(&night, 0, 7_200), Some(20 * 60 * MINUTE));
        assert_eq!(next_opening(&window(1, 2, 0), 0, 0), None);
    }

    proptest! {
        /// The answer is the first open minute: brute force over all minutes of nine days.
        #[test]
        fn first_open_minute(
            start in 0_u16..1440, end in 0_u16..1441, days in 1_u8..128,
            minute in 0_i64..20_000, offset in -12_i32..13,
        ) {
            let window = window(start, end, days);
            let now = minute * MINUTE;
            let offset = offset * 3_600;
            let brute = (0..9 * 1_440)
                .map(|m| now + m * MINUTE)
                .find(|t| is_open(&window, t + i64::from(offset) * SECOND));
            prop_assert_eq!(next_opening(&window, now, offset), brute);
        }
    }
}
