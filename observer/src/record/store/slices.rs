//! What is large is cut into slices that fill redb's pages: these come in powers of two only.

use bytes::Bytes;
use redb::{ReadableTable, Table};

/// redb's page.
const PAGE: usize = 4096;
/// What a page with one slice has beside it: its header, the slice's length, the key.
const BESIDE: usize = 4 + 4 + 10;
/// The pages of the largest slice: the fewer sizes there are, the better free pages fit what comes.
const LARGEST: usize = 4;

/// The slices of so many bytes.
fn lengths(mut bytes: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let fits = |pages: &usize| pages * PAGE - BESIDE <= bytes;
        let pages = [LARGEST, 2, 1].into_iter().find(fits);
        let length = pages.map_or(bytes, |pages| pages * PAGE - BESIDE);
        bytes -= length;
        (length > 0).then_some(length)
    })
}

/// So many bytes of the file a blob takes.
pub(super) fn cost(bytes: usize) -> u64 {
    lengths(bytes).map(|length| ((length + BESIDE).div_ceil(PAGE) * PAGE) as u64).sum()
}

/// Puts a blob in.
pub(super) fn insert(
    table: &mut Table<'_, (u64, u16), &'static [u8]>,
    blob: u64,
    mut data: &[u8],
) -> Result<(), redb::StorageError> {
    for (number, length) in (0..=u16::MAX).zip(lengths(data.len())) {
        let (slice, rest) = data.split_at(length);
        table.insert((blob, number), slice)?;
        data = rest;
    }
    Ok(())
}

/// Takes one out.
pub(super) fn remove(
    table: &mut Table<'_, (u64, u16), &'static [u8]>,
    blob: u64,
    bytes: usize,
) -> Result<(), redb::StorageError> {
    for (number, _) in (0..=u16::MAX).zip(lengths(bytes)) {
        table.remove((blob, number))?;
    }
    Ok(())
}

/// Reads one.
pub(super) fn read(
    table: &impl ReadableTable<(u64, u16), &'static [u8]>,
    blob: u64,
    bytes: usize,
) -> Result<Bytes, redb::StorageError> {
    let mut data = Vec::with_capacity(bytes);
    for slice in table.range((blob, 0)..=(blob, u16::MAX))? {
        data.extend_from_slice(slice?.1.value());
    }
    Ok(data.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_fill_pages() {
        let of = |bytes: usize| lengths(bytes).collect::<Vec<_>>();
        let full = |pages: usize| pages * PAGE - BESIDE;
        assert_eq!(of(0), Vec::<usize>::new());
        assert_eq!(of(100), [100]);
        assert_eq!(of(full(1)), [full(1)]);
        assert_eq!(of(full(4) * 2 + full(2) + 5), [full(4), full(4), full(2), 5]);
        assert_eq!(cost(0), 0);
        assert_eq!(cost(1), 4096);
        assert_eq!(cost(full(4) + full(1) + 1), 6 * 4096);
        for bytes in 0..100_000 {
            assert_eq!(of(bytes).iter().sum::<usize>(), bytes);
            assert!(cost(bytes) as usize <= bytes + bytes / 100 + PAGE);
        }
    }
}
