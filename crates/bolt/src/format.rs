//! Numbers and fixed layouts of the format.

/// The page size that etcd's machines have.
pub const PAGE_BYTES_DEFAULT: u32 = 4096;

pub(crate) const MAGIC: u32 = 0xED0C_DAED;
pub(crate) const VERSION: u32 = 2;

/// A page's header, and an element of either kind.
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const ELEMENT_BYTES: usize = 16;
pub(crate) const META_BYTES: usize = 64;
/// A bucket's header inside a leaf.
pub(crate) const BUCKET_BYTES: usize = 16;

pub(crate) const BRANCH: u16 = 0x01;
pub(crate) const LEAF: u16 = 0x02;
pub(crate) const META: u16 = 0x04;
pub(crate) const FREELIST: u16 = 0x10;

/// A leaf element whose value is a bucket.
pub(crate) const BUCKET_FLAG: u32 = 0x01;

pub(crate) const KEY_BYTES_MAX: usize = 32_768;
pub(crate) const VALUE_BYTES_MAX: usize = (1 << 31) - 2;

/// bbolt looks for its second meta page at every page size up to this one.
pub(crate) const PAGE_BYTES_LOG2: std::ops::RangeInclusive<u32> = 10..=24;

/// The largest node that is read. etcd's values are some megabytes at most, and one node holds only
/// a few that do not fit a page.
pub(crate) const NODE_BYTES_MAX: u64 = 1 << 30;

/// Far deeper than a tree of 2^64 keys.
pub(crate) const DEPTH_MAX: usize = 64;

/// A meta page's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_bytes: u32,
    /// The root bucket's tree.
    pub(crate) root: u64,
    pub(crate) freelist: u64,
    /// How many pages the file has.
    pub(crate) pages: u64,
    pub(crate) transaction: u64,
}

impl Meta {
    /// Reads the content of a page, header included; says what is wrong with it.
    pub(crate) fn parse(page: &[u8]) -> Result<Self, &'static str> {
        let body = page
            .get(HEADER_BYTES..HEADER_BYTES + META_BYTES)
            .ok_or("too short for a meta page")?;
        if u32_at(body, 0) != Some(MAGIC) {
            return Err("no meta page");
        }
        if u32_at(body, 4) != Some(VERSION) {
            return Err("version mismatch");
        }
        let fault = "a meta page is cut short";
        if u64_at(body, 56).ok_or(fault)? != fnv64a(&body[..56]) {
            return Err("checksum error");
        }
        let meta = Self {
            page_bytes: u32_at(body, 8).ok_or(fault)?,
            root: u64_at(body, 16).ok_or(fault)?,
            freelist: u64_at(body, 32).ok_or(fault)?,
            pages: u64_at(body, 40).ok_or(fault)?,
            transaction: u64_at(body, 48).ok_or(fault)?,
        };
        let is_size = meta.page_bytes.is_power_of_two()
            && PAGE_BYTES_LOG2.contains(&meta.page_bytes.trailing_zeros());
        if !is_size {
            return Err("an impossible page size");
        }
        if meta.root < 2 || meta.root >= meta.pages {
            return Err("a root beyond the last page");
        }
        if meta.pages.checked_mul(u64::from(meta.page_bytes)).is_none() {
            return Err("an impossible number of pages");
        }
        Ok(meta)
    }

    /// The whole page with the number `id`.
    pub(crate) fn page(&self, id: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.page_bytes as usize);
        for number in [MAGIC, VERSION, self.page_bytes, 0] {
            body.extend(number.to_le_bytes());
        }
        for number in [self.root, 0, self.freelist, self.pages, self.transaction] {
            body.extend(number.to_le_bytes());
        }
        body.extend(fnv64a(&body).to_le_bytes());
        let mut page = header(id, META, 0, 0);
        page.extend(body);
        page.resize(self.page_bytes as usize, 0);
        page
    }
}

/// A page's header.
pub(crate) fn header(id: u64, flags: u16, count: u16, overflow: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(PAGE_BYTES_DEFAULT as usize);
    out.extend(id.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(overflow.to_le_bytes());
    out
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let (head, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u16::from_le_bytes(*head))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let (head, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_le_bytes(*head))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let (head, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u64::from_le_bytes(*head))
}

fn fnv64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{Meta, fnv64a};

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv64a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv64a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv64a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_meta_page_is_read_back_and_every_flipped_bit_noticed() {
        let meta = Meta {
            page_bytes: 4096,
            root: 3,
            freelist: 2,
            pages: 4,
            transaction: 7,
        };
        let page = meta.page(1);
        assert_eq!(page.len(), 4096);
        assert_eq!(Meta::parse(&page), Ok(meta));
        for bit in 16 * 8..80 * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::parse(&flipped).is_err(), "bit {bit}");
        }
    }
}
