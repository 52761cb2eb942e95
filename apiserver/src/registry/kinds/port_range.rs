//! The bitmap of node ports, and its two stored forms: JSON from us, protobuf from a real
//! kube-apiserver. Pure: who reads and writes it is beside it.

use api_meta::status::Status;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use crate::registry::{refusals, tree};
use crate::storage::codec;

/// The stored range and bitmap.
pub(super) fn stored(value: &Bytes) -> Result<(String, Vec<u8>), Status> {
    if let Some(envelope) = value.strip_prefix(b"k8s\0") {
        let unknown = Unknown::decode(envelope).map_err(Status::internal)?;
        let found = Allocation::decode(&unknown.raw[..]).map_err(Status::internal)?;
        return Ok((found.range, found.data));
    }
    let object: Value = serde_json::from_slice(value).map_err(Status::internal)?;
    let bits = STANDARD
        .decode(tree::text(&object, "/data"))
        .map_err(Status::internal)?;
    Ok((tree::text(&object, "/range").to_owned(), bits))
}

/// The envelope of every protobuf object at rest.
#[derive(Clone, PartialEq, prost::Message)]
struct Unknown {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

/// A `RangeAllocation`, which is stored but never served, so that no table of kinds has it.
#[derive(Clone, PartialEq, prost::Message)]
struct Allocation {
    #[prost(string, tag = "2")]
    range: String,
    #[prost(bytes = "vec", tag = "3")]
    data: Vec<u8>,
}

/// The bitmap: bit `n` is the port `first + n`, the lowest bits in the last byte.
#[derive(Debug)]
pub(super) struct PortRange {
    first: u16,
    last: u16,
    bits: Vec<u8>,
}

impl PortRange {
    /// The ports from `first` to `last`; those of `bits` are taken.
    pub(super) fn new((first, last): (u16, u16), bits: Vec<u8>) -> Self {
        Self { first, last, bits }
    }

    /// The ports from `first` to `last`; those of `taken` that lie between them are taken.
    pub(super) fn of(ends: (u16, u16), taken: impl Iterator<Item = u16>) -> Self {
        let mut range = Self::new(ends, Vec::new());
        for port in taken.filter(|port| (ends.0..=ends.1).contains(port)) {
            range.set(port, true);
        }
        range
    }

    /// How the range is named.
    pub(super) fn name((first, last): (u16, u16)) -> String {
        format!("{first}-{last}")
    }

    fn is_taken(&self, port: u16) -> bool {
        let bit = usize::from(port - self.first);
        let place = self.bits.len().checked_sub(bit / 8 + 1);
        place
            .and_then(|place| self.bits.get(place))
            .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    fn set(&mut self, port: u16, taken: bool) {
        let bit = usize::from(port - self.first);
        let bytes = bit / 8 + 1;
        if self.bits.len() < bytes {
            let mut wider = vec![0; bytes - self.bits.len()];
            wider.append(&mut self.bits);
            self.bits = wider;
        }
        let place = self.bits.len() - bytes;
        let mask = 1 << (bit % 8);
        if taken {
            self.bits[place] |= mask;
        } else {
            self.bits[place] &= !mask;
        }
    }

    /// Takes one port, or says why not.
    pub(super) fn claim(&mut self, port: u16) -> Result<(), String> {
        if port < self.first || port > self.last {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                self.first, self.last
            ));
        }
        if self.is_taken(port) {
            return Err("provided port is already allocated".to_owned());
        }
        self.set(port, true);
        Ok(())
    }

    /// Takes any port.
    pub(super) fn free(&mut self) -> Result<u16, Status> {
        let count = u32::from(self.last - self.first) + 1;
        let from = rand::random_range(0..count);
        let found = (0..count)
            .filter_map(|step| u16::try_from((from + step) % count).ok())
            .map(|offset| self.first + offset)
            .find(|port| !self.is_taken(*port));
        let port = found
            .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?;
        self.set(port, true);
        Ok(port)
    }

    /// Gives a port back. One that lies outside was never taken.
    pub(super) fn release(&mut self, port: u16) {
        if (self.first..=self.last).contains(&port) {
            self.set(port, false);
        }
    }

    /// The bytes to store.
    pub(super) fn encode(&self) -> Result<Bytes, Status> {
        let leading = self.bits.iter().take_while(|byte| **byte == 0).count();
        let object = json!({
            "apiVersion": "v1",
            "kind": "RangeAllocation",
            "metadata": {},
            "range": Self::name((self.first, self.last)),
            "data": STANDARD.encode(self.bits.get(leading..).unwrap_or_default()),
        });
        codec::encode(&object).map_err(|error| refusals::of_codec(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::{PortRange, stored};

    #[test]
    fn the_bitmap_is_one_big_number() {
        let mut range = PortRange::new((30000, 30020), Vec::new());
        for port in [30000, 30009] {
            range.claim(port).unwrap();
        }
        assert_eq!(range.bits, [0b10, 0b1]);
        let again = range.claim(30009).unwrap_err();
        assert!(again.contains("already allocated"), "{again}");
        assert!(range.claim(29999).unwrap_err().contains("30000-30020"));
        range.release(30009);
        range.claim(30009).unwrap();
        for _ in 0..19 {
            let port = range.free().unwrap();
            assert!((30000..=30020).contains(&port));
        }
        assert!(range.free().is_err());
    }

    #[test]
    fn a_range_is_made_anew_from_the_ports_that_lie_in_it() {
        let range = PortRange::of((30010, 30020), [30000, 30010, 30012, 30021].into_iter());
        assert_eq!(range.bits, [0b101]);
        let (name, bits) = stored(&range.encode().unwrap()).unwrap();
        assert_eq!(
            (name.as_str(), bits.as_slice()),
            ("30010-30020", &[0b101][..])
        );
    }
}
