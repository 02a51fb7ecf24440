//! Reads the kernel's own type information (BTF): offsets of members, arguments of hooks, names of enumerators.
//!
//! The format is that of Documentation/bpf/btf.rst. aya reads BTF for its own use without offering
//! members, and the crate made for this is LGPL, which a static binary under our licences cannot be.

use std::collections::HashMap;

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BtfError {
    /// The header or a section is not as the format has it.
    #[error("the kernel's BTF is malformed at byte {0}")]
    Malformed(usize),
}

/// Why a member could not be found.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MemberError {
    /// No structure of that name has that member.
    #[error("the kernel has no {0}")]
    Absent(String),
    /// It is there with another size.
    #[error("{path} has {found} bytes in this kernel, not {expected}")]
    Size {
        /// Structure and member.
        path: String,
        /// The size that the probes read.
        expected: usize,
        /// The size in this kernel.
        found: usize,
    },
}

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// The types of the running kernel.
pub(crate) struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Where each type's description begins; a type's id is its place here plus 1.
    types: Vec<u32>,
    /// The ids of each name that has one; several types may share a name.
    names: HashMap<u32, Vec<u32>>,
    /// The place of each name, found once.
    places: HashMap<String, u32>,
}

/// One type's fixed part.
#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    info: u32,
    /// A size, or the id of another type.
    extent: u32,
}

impl Type {
    const fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    const fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    const fn has_bit_sizes(self) -> bool {
        self.info >> 31 != 0
    }
}

impl Btf {
    /// Parses what /sys/kernel/btf/vmlinux holds, and indexes the named types.
    pub(crate) fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let word = |at: usize| read_u32(&data, at).ok_or(BtfError::Malformed(at));
        if word(0)? & 0xffff != 0xeb9f {
            return Err(BtfError::Malformed(0));
        }
        let header = word(4)? as usize;
        let (type_start, type_len) = (header + word(8)? as usize, word(12)? as usize);
        let strings = header + word(16)? as usize;
        let strings_end = strings + word(20)? as usize;
        if type_start + type_len > data.len() || strings_end > data.len() {
            return Err(BtfError::Malformed(data.len()));
        }
        let mut types = Vec::new();
        let mut names: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut at = type_start;
        while at < type_start + type_len {
            let info = word(at + 4)?;
            let count = (info & 0xffff) as usize;
            let tail = match (info >> 24) & 0x1f {
                KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * count,
                KIND_ENUM | KIND_FUNC_PROTO => 8 * count,
                kind if kind <= KIND_ENUM64 => 0,
                _ => return Err(BtfError::Malformed(at)),
            };
            types.push(at as u32);
            let kind = (info >> 24) & 0x1f;
            if matches!(kind, KIND_STRUCT | KIND_TYPEDEF | KIND_ENUM | KIND_ENUM64) {
                names.entry(word(at)?).or_default().push(types.len() as u32);
            }
            at += 12 + tail;
        }
        let mut btf = Self { data, strings, types, names, places: HashMap::new() };
        btf.places = btf.names.keys().map(|&place| (btf.string(place).to_owned(), place)).collect();
        Ok(btf)
    }

    /// The offset in bytes of a member that is read with `size` bytes. `path` is as in
    /// `observer_ebpf::fields`: dots, `[n]`, alternatives parted by `|`.
    pub(crate) fn offset(&self, structure: &str, path: &str, size: usize) -> Result<u32, MemberError> {
        let mut error = MemberError::Absent(format!("{structure}.{path}"));
        for alternative in path.split('|') {
            for id in self.named(structure) {
                match self.walk(id, alternative) {
                    Some((offset, found)) if found == size => return Ok(offset),
                    Some((_, found)) => {
                        let path = format!("{structure}.{alternative}");
                        error = MemberError::Size { path, expected: size, found };
                    }
                    None => {}
                }
            }
        }
        Err(error)
    }

    /// The arguments of a `tp_btf` hook, or `None` where the kernel does not have it.
    pub(crate) fn hook_arguments(&self, hook: &str) -> Option<Vec<u32>> {
        let id = self.named(&format!("btf_trace_{hook}")).next()?;
        let prototype = self.get(self.get(self.get(id)?.extent)?.extent)?;
        if prototype.kind() != KIND_FUNC_PROTO {
            return None;
        }
        // The first parameter is the tracepoint's own data.
        (1..prototype.count()).map(|n| read_u32(&self.data, prototype.at + 12 + 8 * n + 4)).collect()
    }

    /// That type is a pointer to the structure of that name.
    pub(crate) fn is_pointer_to(&self, id: u32, structure: &str) -> bool {
        self.resolve(id)
            .filter(|pointer| pointer.kind() == KIND_PTR)
            .and_then(|pointer| self.resolve(pointer.extent))
            .is_some_and(|target| target.kind() == KIND_STRUCT && self.string(target.name) == structure)
    }

    /// The names of an enumeration by their values; empty where there is none.
    pub(crate) fn enumerators(&self, name: &str) -> HashMap<u32, String> {
        let Some(found) = self.named(name).filter_map(|id| self.get(id)).find(|t| t.kind() == KIND_ENUM)
        else {
            return HashMap::new();
        };
        (0..found.count())
            .filter_map(|n| {
                let at = found.at + 12 + 8 * n;
                let value = read_u32(&self.data, at + 4)?;
                Some((value, self.string(read_u32(&self.data, at)?).to_owned()))
            })
            .collect()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = u32> {
        self.places.get(name).and_then(|place| self.names.get(place)).into_iter().flatten().copied()
    }

    fn get(&self, id: u32) -> Option<Type> {
        let at = *self.types.get(id.checked_sub(1)? as usize)? as usize;
        let word = |n: usize| read_u32(&self.data, at + 4 * n);
        Some(Type { at, name: word(0)?, info: word(1)?, extent: word(2)? })
    }

    /// Sees through typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..32 {
            let found = self.get(id)?;
            match found.kind() {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = found.extent;
                }
                _ => return Some(found),
            }
        }
        None
    }

    /// Follows a path from a structure; gives the offset and the size of what is there.
    fn walk(&self, id: u32, path: &str) -> Option<(u32, usize)> {
        let mut offset = 0;
        let mut here = self.resolve(id)?;
        for part in path.split('.') {
            let (name, index) = match part.split_once('[') {
                Some((name, rest)) => (name, Some(rest.strip_suffix(']')?.parse::<u32>().ok()?)),
                None => (part, None),
            };
            let (member_offset, member) = self.member(here, name)?;
            offset += member_offset;
            here = self.resolve(member)?;
            if let Some(index) = index {
                if here.kind() != KIND_ARRAY {
                    return None;
                }
                let element = read_u32(&self.data, here.at + 12)?;
                offset += index * self.size(element)? as u32;
                here = self.resolve(element)?;
            }
        }
        Some((offset, self.size_of(here)?))
    }

    /// A member's offset in bytes and type; members of anonymous members count as the structure's.
    fn member(&self, of: Type, name: &str) -> Option<(u32, u32)> {
        if !matches!(of.kind(), KIND_STRUCT | KIND_UNION) {
            return None;
        }
        for n in 0..of.count() {
            let at = of.at + 12 + 12 * n;
            let (place, id, position) =
                (read_u32(&self.data, at)?, read_u32(&self.data, at + 4)?, read_u32(&self.data, at + 8)?);
            let (bits, bit_size) =
                if of.has_bit_sizes() { (position & 0x00ff_ffff, position >> 24) } else { (position, 0) };
            if place == 0 {
                if let Some((inner, id)) = self.resolve(id).and_then(|t| self.member(t, name)) {
                    return Some((bits / 8 + inner, id));
                }
            } else if self.string(place) == name {
                // A bit field has no address of its own, unless it begins a byte that holds all of it.
                let whole = bit_size == 0 || (bit_size <= 8 && self.size(id) == Some(1));
                return (whole && bits % 8 == 0).then_some((bits / 8, id));
            }
        }
        None
    }

    fn size(&self, id: u32) -> Option<usize> {
        self.size_of(self.resolve(id)?)
    }

    fn size_of(&self, found: Type) -> Option<usize> {
        match found.kind() {
            KIND_PTR => Some(size_of::<u64>()),
            KIND_ARRAY => {
                let element = read_u32(&self.data, found.at + 12)?;
                let count = read_u32(&self.data, found.at + 20)? as usize;
                Some(self.size(element)? * count)
            }
            KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 => Some(found.extent as usize),
            _ => None,
        }
    }

    fn string(&self, place: u32) -> &str {
        let start = self.strings + place as usize;
        let bytes = self.data.get(start..).unwrap_or_default();
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).unwrap_or_default()
    }
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
