//! The protobuf wire format: field numbers and what follows them, checked at every step.

use super::Error;

/// What follows a field number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A varint, or the bits of a fixed-size number.
    Number(u64),
    /// A string, bytes or message.
    Bytes(&'a [u8]),
}

/// Reads a message's fields one by one.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

const CUT: Error = Error::Wire("unexpected EOF");

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Token<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Error::Wire("illegal tag"))?;
        if number == 0 {
            return Err(Error::Wire("illegal tag 0"));
        }
        let token = match tag & 7 {
            0 => Token::Number(self.varint()?),
            1 => Token::Number(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| CUT)?;
                Token::Bytes(self.take(length)?)
            }
            5 => Token::Number(u64::from(u32::from_le_bytes(self.array()?))),
            _ => return Err(Error::Wire("illegal wireType")),
        };
        Ok(Some((number, token)))
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(CUT)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Wire("integer overflow"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(*taken)
    }
}
