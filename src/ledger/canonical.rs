//! The canonical encoding of a request, and its hash: whether two requests with one key are the same.
//!
//! Version 1: the text `v1`, the name of the verb, then the fields in an order that each verb fixes. Every field begins
//! with a byte that says what it is, and a text with its length, so that no two requests share an encoding. Amounts are
//! encoded by their value: `10` and `10.00` are the same request.

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

const NOTHING: u8 = 0;
const TEXT: u8 = 1;
const NUMBER: u8 = 2;
const AMOUNT: u8 = 3;

/// A request while it is being encoded.
pub(super) struct Canonical(Sha256);

impl Canonical {
    pub(super) fn of(verb: &str) -> Self {
        Self(Sha256::new()).text("v1").text(verb)
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.update([TEXT]);
        self.0.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(text);
        self
    }

    pub(super) fn number(mut self, number: impl Into<i128>) -> Self {
        self.0.update([NUMBER]);
        self.0.update(number.into().to_be_bytes());
        self
    }

    pub(super) fn amount(mut self, amount: Decimal) -> Self {
        let amount = amount.normalize();
        self.0.update([AMOUNT]);
        self.0.update(amount.mantissa().to_be_bytes());
        self.0.update(amount.scale().to_be_bytes());
        self
    }

    pub(super) fn optional<T>(
        mut self,
        value: Option<T>,
        encode: impl FnOnce(Self, T) -> Self,
    ) -> Self {
        match value {
            Some(value) => encode(self, value),
            None => {
                self.0.update([NOTHING]);
                self
            }
        }
    }

    /// A field that may be left out, behind its name.
    pub(super) fn set<T>(
        self,
        name: &str,
        value: Option<T>,
        encode: impl FnOnce(Self, T) -> Self,
    ) -> Self {
        match value {
            Some(value) => encode(self.text(name), value),
            None => self,
        }
    }

    pub(super) fn hash(self) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hex(canonical: Canonical) -> String {
        canonical.hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Stored hashes are compared with those of later versions of the crate: this one must never change.
    #[test]
    fn version_one_is_frozen() {
        let request = Canonical::of("place_bid")
            .text("ann")
            .number(7)
            .amount(Decimal::new(10_50, 2))
            .optional(None::<&str>, Canonical::text);
        assert_eq!(
            hex(request),
            "c5899aaf543ea2699254464edc89df228b9806d2030c28160225e2d3e6cb75a9"
        );
    }

    #[test]
    fn an_amount_is_its_value() {
        let one = |text: &str| hex(Canonical::of("x").amount(text.parse().unwrap()));
        assert_eq!(one("10"), one("10.000"));
        assert_eq!(one("0"), one("-0.00"));
        assert_ne!(one("10"), one("-10"));
        assert_ne!(one("1.0"), one("0.1"));
    }

    #[test]
    fn neighbouring_texts_do_not_flow_into_each_other() {
        let two = |a: &str, b: &str| hex(Canonical::of("x").text(a).text(b));
        assert_ne!(two("ab", "c"), two("a", "bc"));
        let optional = |a: Option<&str>| hex(Canonical::of("x").optional(a, Canonical::text));
        assert_ne!(optional(None), optional(Some("")));
    }
}
