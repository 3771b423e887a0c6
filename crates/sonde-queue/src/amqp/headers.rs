//! What the broker notes on messages: how often it delivered them, and why they died.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use crate::Death;

/// How often it was handed out before and came back.
pub(super) fn redeliveries(delivery: &Delivery) -> u32 {
    let headers = delivery.properties.headers().as_ref();
    let count = headers
        .and_then(|headers| headers.inner().get("x-delivery-count"))
        .and_then(number);
    match count {
        Some(count) => u32::try_from(count).unwrap_or(u32::MAX),
        None => u32::from(delivery.redelivered),
    }
}

/// Of the last of its deaths; none for a message that never died.
pub(super) fn death(delivery: &Delivery) -> Option<Death> {
    let headers = delivery.properties.headers().as_ref()?;
    match last_reason(headers)?.as_slice() {
        b"expired" => Some(Death::Expired),
        b"delivery_limit" => Some(Death::DeliveryLimit),
        b"rejected" => Some(Death::Rejected),
        // Only queues without dead letters have a length limit.
        _ => None,
    }
}

/// `x-death` has the latest first. The two plain headers stand in for it where it was left out.
fn last_reason(headers: &FieldTable) -> Option<Vec<u8>> {
    let headers = headers.inner();
    let latest = match headers.get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice().first(),
        _ => None,
    };
    let reason = match latest {
        Some(AMQPValue::FieldTable(death)) => death.inner().get("reason"),
        _ => None,
    };
    let reason = reason
        .or_else(|| headers.get("x-last-death-reason"))
        .or_else(|| headers.get("x-first-death-reason"))?;
    match reason {
        AMQPValue::LongString(reason) => Some(reason.as_bytes().to_vec()),
        _ => None,
    }
}

fn number(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        _ => None,
    }
}
