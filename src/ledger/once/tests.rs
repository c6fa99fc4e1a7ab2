use uuid::Uuid;

use super::*;

const OPERATION: &str = "0191e3a0-0000-7000-8000-000000000001";

fn read(answer: &str) -> Result<Done<Outcome>, Error> {
    let row = key::Model {
        scope: b"house".to_vec(),
        idempotency_key: b"a key".to_vec(),
        request_hash: vec![1],
        operation: Uuid::parse_str(OPERATION).unwrap(),
        answer: Some(answer.to_owned()),
        at: 0,
    };
    match Claim::read(row)? {
        Claim::Answered(answered) => Ok(answered.done),
        Claim::Ours => Err(Error::damaged("it has an answer")),
    }
}

/// What was stored when the command stood beside the outcome is read, and what is stored now says the same with less.
#[test]
fn a_command_is_stored_once() {
    let outcome = format!(
        r#"{{"change":{{"auction":7,"seq":4,"operation":"{OPERATION}","currency":{{"code":"EUR","exponent":2}},
            "price":"12.50","ends_at":"2026-11-23T12:00:00Z","reserve_met":null,"at":"2026-11-23T11:00:00Z"}}}}"#
    );
    let place = r#"{"auction":{"auction":7,"seq":4}}"#;
    let before = format!(
        r#"{{"version":1,"command":{{"operation":"{OPERATION}","place":{place}}},"outcome":{outcome}}}"#
    );
    let old = read(&before).unwrap();

    let once = Once { operation: old.command.operation(), key: Some("a key".to_owned()) };
    let slot = once.slot(None, || vec![1]).unwrap();
    let reply = slot.reply(&old.value, &old.command, Micros::new(0)).unwrap();
    assert!(!reply.answer.contains("command"), "{}", reply.answer);
    let new = read(&reply.answer).unwrap();
    assert_eq!(new.command, old.command);
    assert_eq!(format!("{:?}", new.value), format!("{:?}", old.value));

    // A command in another place than the outcome says is stored beside it.
    let other = CommandRef::on_auction(old.command.operation(), 7.into(), 5);
    let reply = slot.reply(&old.value, &other, Micros::new(0)).unwrap();
    assert_eq!(read(&reply.answer).unwrap().command, other);
}
