//! When work that is done once a week or once a month is due: in the first maintenance window
//! of each.

use crate::situation::{DAY, SECOND};
use crate::window::next_opening;
use indexpilot_model::config::{MaintenanceWindow, Schedule};
use indexpilot_model::ports::Timestamp;

/// Civil date of a day number (days since 1970-01-01) as (year, month): Howard Hinnant's
/// algorithm ("chrono-compatible low-level date algorithms", `civil_from_days`).
fn month_of(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month)
}

/// The number of the week (from Monday) or the month that a local day lies in.
fn period(schedule: Schedule, day: i64) -> i64 {
    match schedule {
        // 1970-01-01 was a Thursday.
        Schedule::Weekly => (day + 3).div_euclid(7),
        Schedule::Monthly => {
            let (year, month) = month_of(day);
            year * 12 + month
        }
    }
}

/// The moment from which on the work is due, `now` where it is due already; `None` where the
/// window has no days. `last` is when it was done last. `utc_offset` as for
/// [`next_opening`].
pub fn next_turn(
    schedule: Schedule,
    window: &MaintenanceWindow,
    last: Option<Timestamp>,
    now: Timestamp,
    utc_offset: i32,
) -> Option<Timestamp> {
    let offset = i64::from(utc_offset) * SECOND;
    let day_of = |moment: Timestamp| (moment + offset).div_euclid(DAY);
    let today = day_of(now);
    let done = last.is_some_and(|last| period(schedule, day_of(last)) >= period(schedule, today));
    if !done {
        return next_opening(window, now, utc_offset);
    }
    let present = period(schedule, day_of(last.unwrap_or(now)));
    // The first day of the next period; none is longer than 31 days.
    let mut day = day_of(last.unwrap_or(now));
    while period(schedule, day) == present {
        day += 1;
    }
    next_opening(window, day * DAY - offset, utc_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situation::{HOUR, MINUTE};
    use proptest::prelude::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(month_of(0), (1970, 1));
        assert_eq!(month_of(30), (1970, 1));
        assert_eq!(month_of(31), (1970, 2));
        assert_eq!(month_of(-1), (1969, 12));
        // 2000-02-29 and 2000-03-01.
        assert_eq!(month_of(11_016), (2000, 2));
        assert_eq!(month_of(11_017), (2000, 3));
        // 2100 has no leap day: 2100-02-28 is day 47540.
        assert_eq!(month_of(47_540), (2100, 2));
        assert_eq!(month_of(47_541), (2100, 3));
    }

    #[test]
    fn once_a_week_in_the_window() {
        let nights = MaintenanceWindow::default();
        let turn = |last, now| next_turn(Schedule::Weekly, &nights, last, now, 0);
        // Never done: in the next window. The epoch is a Thursday.
        assert_eq!(turn(None, 0), Some(2 * HOUR));
        assert_eq!(turn(None, 3 * HOUR), Some(3 * HOUR));
        // Done on Thursday: on Monday night.
        assert_eq!(turn(Some(3 * HOUR), 4 * HOUR), Some(4 * DAY + 2 * HOUR));
        assert_eq!(
            turn(Some(3 * HOUR), 5 * DAY + 3 * HOUR),
            Some(5 * DAY + 3 * HOUR)
        );
    }

    proptest! {
        /// It is due exactly when the window is open and the work was not done in this
        /// period: brute force over the hours of ten weeks.
        #[test]
        fn due_when_open_and_not_done(
            monthly: bool, start in 0_u16..24, length in 1_u16..24, days in 1_u8..128,
            last in prop::option::of(0_i64..1_600), hour in 0_i64..1_600, zone in -12_i32..13,
        ) {
            let schedule = if monthly { Schedule::Monthly } else { Schedule::Weekly };
            let window = MaintenanceWindow {
                start: start * 60, end: (start + length) % 24 * 60, days,
            };
            let (now, offset) = (hour * HOUR, zone * 3_600);
            let last = last.filter(|last| *last <= hour).map(|last| last * HOUR);
            let found = next_turn(schedule, &window, last, now, offset);
            let number = |moment: i64| {
                period(schedule, (moment + i64::from(offset) * SECOND).div_euclid(DAY))
            };
            let brute = (hour..hour + 24 * 70).map(|hour| hour * HOUR).find(|moment| {
                next_opening(&window, *moment, offset) == Some(*moment)
                    && last.is_none_or(|last| number(last) < number(*moment))
            });
            prop_assert_eq!(found.map(|moment| moment / MINUTE), brute.map(|moment| moment / MINUTE));
        }
    }
}
