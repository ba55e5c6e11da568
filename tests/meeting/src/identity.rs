//! Ids and tokens that follow from a name, so that a server that was killed and
//! started again knows its clients. Nothing here is secret: it is a test server
//! on loopback.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// A number shaped like a UUID.
pub(crate) fn uuid(name: &str) -> String {
    let hex = format!("{:032x}", hash(name));
    let part = |from: usize, to: usize| &hex[from..to];
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A text that may stand in a WebSocket's list of protocols.
pub(crate) fn token(name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash(&format!("token {name}")).to_be_bytes())
}

/// FNV-1a with 128 bits: the same on every machine and in every version.
fn hash(name: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    name.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_own_ids_and_tokens() {
        let id = uuid("a");
        assert_eq!(id.len(), 36);
        assert!(id.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{id}");
        assert_eq!(id, uuid("a"));
        assert_ne!(id, uuid("b"));
        assert_ne!(token("a"), token("b"));
        assert!(token("a").bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    }
}
