//! The settings of triggers and incidents.

use super::{Error, IncidentBounds, Settings, Tuning, bounds};

const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_MILLISECOND: u64 = 1_000_000;

/// The thresholds.
pub(super) fn tuning(settings: &Settings) -> Result<Tuning, Error> {
    let number = |key| bounds::number(settings, key);
    Ok(Tuning {
        enabled: enabled(settings)?,
        connect_failures: number("trigger_connect_failures")?,
        lost_percent: number("trigger_lost_percent")?,
        resets: number("trigger_resets")?,
        latency_factor: number("trigger_latency_factor")?,
        unaccepted_ns: number("trigger_unaccepted")? * NS_PER_MILLISECOND,
        unread_ns: number("trigger_unread")? * NS_PER_MILLISECOND,
        start_up_ns: number("trigger_start_up")? * NS_PER_SECOND,
    })
}

/// The times of incidents.
pub(super) fn bounds(settings: &Settings) -> Result<IncidentBounds, Error> {
    let seconds = |key| Ok::<_, Error>(bounds::number(settings, key)? * NS_PER_SECOND);
    Ok(IncidentBounds {
        before_ns: seconds("incident_before")?,
        after_ns: seconds("incident_after")?,
        cool_down_ns: seconds("trigger_cool_down")?,
    })
}

/// True unless it is turned off.
fn enabled(settings: &Settings) -> Result<bool, Error> {
    const ALLOWED: &str = "true and false";
    let Some(setting) = settings.get("triggers") else { return Ok(true) };
    match setting.single(ALLOWED)? {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(setting.refused(other, ALLOWED)),
    }
}
