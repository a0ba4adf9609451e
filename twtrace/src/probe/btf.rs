//! What the running kernel's BTF says of its structures, functions and tracepoints.
//!
//! A reader of just that much: aya keeps its own parse to itself, and Rust emits no CO-RE relocations, so the
//! offsets that the programs need are looked up here and written into them at load.
//! The format is Documentation/bpf/btf.rst of the kernel.

use std::collections::HashMap;

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
/// No C type nests deeper; a corrupt one may nest without end.
const MAX_DEPTH: u32 = 32;

/// The types of a kernel, by number and by name.
pub struct Btf<'a> {
    types: Vec<Type<'a>>,
    by_name: HashMap<(u32, &'a str), u32>,
    strings: &'a [u8],
}

#[derive(Clone, Copy)]
struct Type<'a> {
    kind: u32,
    /// Member offsets carry the sizes of bit-fields in their upper byte.
    bitfields: bool,
    /// The type that this one points to or qualifies; a size for the others.
    target: u32,
    /// Members or parameters.
    extra: &'a [u8],
}

impl<'a> Btf<'a> {
    /// `None` where `bytes` are not BTF of this machine's byte order.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.get(..2)? != 0xeb9f_u16.to_ne_bytes() {
            return None;
        }
        let body = bytes.get(word(bytes, 4)? as usize..)?;
        let section = |at: usize| {
            let (offset, size) = (word(bytes, at)? as usize, word(bytes, at + 4)? as usize);
            body.get(offset..offset.checked_add(size)?)
        };
        let (mut rest, strings) = (section(8)?, section(16)?);
        let void = Type { kind: 0, bitfields: false, target: 0, extra: &[] };
        let mut btf = Self { types: vec![void], by_name: HashMap::new(), strings };
        while !rest.is_empty() {
            let (name, info, target) = (word(rest, 0)?, word(rest, 4)?, word(rest, 8)?);
            let kind = info >> 24 & 0x1f;
            let end = 12 + extra_length(kind, info as usize & 0xffff)?;
            let extra = rest.get(12..end)?;
            if matches!(kind, STRUCT | UNION | ENUM | TYPEDEF | FUNC) {
                let name = text(strings, name)?;
                btf.by_name.entry((kind, name)).or_insert(btf.types.len() as u32);
            }
            btf.types.push(Type { kind, bitfields: info >> 31 != 0, target, extra });
            rest = &rest[end..];
        }
        Some(btf)
    }

    /// Byte offset of `path`, a structure and its members with dots between: `sock.sk_lock.owned`.
    ///
    /// Members of anonymous structures and unions are found as in C.
    pub fn offset(&self, path: &str) -> Option<u32> {
        let mut parts = path.split('.');
        let mut current = *self.by_name.get(&(STRUCT, parts.next()?))?;
        let mut bits = 0;
        for part in parts {
            let (at, member) = self.member(current, part, MAX_DEPTH)?;
            bits += at;
            current = member;
        }
        Some(bits / 8)
    }

    /// Whether there is a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.by_name.contains_key(&(FUNC, name))
    }

    /// The names and numbers of an enumeration.
    pub fn enumerators(&self, name: &str) -> Vec<(&'a str, u32)> {
        let Some(&number) = self.by_name.get(&(ENUM, name)) else { return Vec::new() };
        let members = self.types[number as usize].extra.chunks_exact(8);
        members.filter_map(|m| Some((text(self.strings, word(m, 0)?)?, word(m, 4)?))).collect()
    }

    /// How many arguments a tracepoint passes; `None` where there is no such tracepoint.
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let typedef = *self.by_name.get(&(TYPEDEF, format!("btf_trace_{name}").as_str()))?;
        let prototype = self.resolve(typedef)?;
        // Eight bytes a parameter; the first is the tracepoint's own.
        (prototype.kind == FUNC_PROTO).then(|| (prototype.extra.len() / 8).saturating_sub(1))
    }

    /// Follows typedefs, pointers and qualifiers to what they stand for.
    fn resolve(&self, number: u32) -> Option<Type<'a>> {
        const POINTER: u32 = 2;
        self.follow(number, |kind| kind == POINTER || is_another_name(kind))
    }

    /// Follows types of such kinds to the first of another.
    fn follow(&self, number: u32, passes: impl Fn(u32) -> bool) -> Option<Type<'a>> {
        let mut found = *self.types.get(number as usize)?;
        for _ in 0..MAX_DEPTH {
            if !passes(found.kind) {
                return Some(found);
            }
            found = *self.types.get(found.target as usize)?;
        }
        None
    }

    /// Bit offset and type of a member.
    fn member(&self, of: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        // What is behind a pointer is in another structure.
        let of = self.follow(of, is_another_name)?;
        if depth == 0 || !matches!(of.kind, STRUCT | UNION) {
            return None;
        }
        for member in of.extra.chunks_exact(12) {
            let (named, kind, at) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            let at = if of.bitfields { at & 0x00ff_ffff } else { at };
            match text(self.strings, named)? {
                "" => {
                    if let Some((inner, found)) = self.member(kind, name, depth - 1) {
                        return Some((at.checked_add(inner)?, found));
                    }
                }
                found if found == name => return Some((at, kind)),
                _ => {}
            }
        }
        None
    }
}

/// A typedef, a qualifier or a tag: `struct foo` as well.
fn is_another_name(kind: u32) -> bool {
    const TYPE_TAG: u32 = 18;
    matches!(kind, TYPEDEF..=11 | TYPE_TAG)
}

/// Bytes behind the twelve that every type has; `None` for a kind that is not known.
fn extra_length(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        STRUCT | UNION | 15 | 19 => 12 * count,
        ENUM | FUNC_PROTO => 8 * count,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

fn text(strings: &[u8], at: u32) -> Option<&str> {
    let rest = strings.get(at as usize..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::Btf;
    use proptest::prelude::*;

    /// BTF of `struct outer { int a; union { long b; struct { int c:4; } ; }; struct outer *p; };`, written by hand.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0p\0int\0color\0RED\0";
        let name = |text: &str| {
            let text = [text.as_bytes(), &[0]].concat();
            strings.windows(text.len()).position(|w| w == text).expect("it is there") as u32
        };
        let kind = |kind: u32, count: u32| kind << 24 | count;
        let types: Vec<u32> = [
            vec![name("int"), kind(1, 0), 4, 32],                         // 1
            vec![0, kind(4, 1) | 1 << 31, 4, name("c"), 1, 4 << 24 | 32], // 2
            vec![0, kind(5, 2), 8, name("b"), 1, 0, 0, 2, 0],             // 3
            vec![name("outer"), kind(4, 3), 24, name("a"), 1, 0, 0, 3, 64, name("p"), 6, 128], // 4
            vec![name("color"), kind(6, 1), 4, name("RED"), 7],           // 5
            vec![0, kind(2, 0), 4],                                       // 6
        ]
        .concat();
        let types: Vec<u8> = types.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let header = [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(header.iter().flat_map(|w| w.to_ne_bytes()));
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn finds_members_through_anonymous_ones() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).expect("well-formed");
        assert_eq!(btf.offset("outer.a"), Some(0));
        assert_eq!(btf.offset("outer.b"), Some(8));
        assert_eq!(btf.offset("outer.c"), Some(12));
        assert_eq!(btf.offset("outer.d"), None);
        assert_eq!(btf.offset("outer.p"), Some(16));
        assert_eq!(btf.offset("outer.p.b"), None, "another structure");
        assert_eq!(btf.offset("inner.a"), None);
        assert_eq!(btf.enumerators("color"), [("RED", 7)]);
    }

    proptest! {
        #[test]
        fn never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in any::<prop::sample::Index>()) {
            let mut bytes = sample();
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Some(btf) = Btf::parse(&bytes) {
                btf.offset("outer.c");
                btf.tracepoint_arguments("outer");
                btf.enumerators("color");
            }
        }
    }
}
